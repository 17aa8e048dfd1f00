// Command gen writes the pages of the plugins from the comments of their code: one page for each plugin type that has a
// constructor, and an index of all types. It changes nothing but the folder it is given.
//
//	catalogue + comments of the packages -> pages
//
//go:generate go run . -out ..
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", "..", "folder of the pages")
	root := flag.String("root", "../../..", "folder of the module")
	flag.Parse()
	pages, err := render(*root)
	if err == nil {
		err = write(*out, pages)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// write puts the pages into a folder and removes those of plugins that are gone.
func write(folder string, pages map[string]string) error {
	old, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if _, wanted := pages[filepath.Base(file)]; !wanted {
			if err := os.Remove(file); err != nil {
				return fmt.Errorf("removing the page of a plugin that is gone: %w", err)
			}
		}
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing a page: %w", err)
		}
	}
	return nil
}
