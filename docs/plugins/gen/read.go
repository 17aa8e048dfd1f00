package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// comment is what the code says about a plugin type.
type comment struct {
	name, constructor string // of the Go type and its constructor
	about, build      string // their comments
	file              string // from the module's folder
}

// read collects the comments of one folder by plugin type. A constant <Name>Type holds the type of the plugin that New<Name>
// makes; its Go type is <Name>, or not told by that name (the role filters share one).
func read(root, folder string, comments map[string]comment) error {
	files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("reading package %s: %d files, error %v", folder, len(files), err)
	}
	types, constructors, places := map[string]string{}, map[string]string{}, map[string]string{}
	names := map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return fmt.Errorf("reading package %s: %w", folder, err)
		}
		for _, declared := range parsed.Decls {
			switch d := declared.(type) {
			case *ast.FuncDecl:
				if name, ok := strings.CutPrefix(d.Name.Name, "New"); ok && d.Recv == nil {
					constructors[name], places[name] = d.Doc.Text(), filepath.ToSlash(filepath.Join(folder, filepath.Base(file)))
				}
			case *ast.GenDecl:
				readSpecs(d, types, names)
			}
		}
	}
	for name, typ := range names {
		if _, ok := constructors[name]; ok {
			comments[typ] = comment{name: name, constructor: "New" + name, about: types[name], build: constructors[name], file: places[name]}
		}
	}
	return nil
}

// readSpecs notes the comments of types, and the names of constants that hold plugin types.
func readSpecs(d *ast.GenDecl, types, names map[string]string) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			types[s.Name.Name] = d.Doc.Text()
		case *ast.ValueSpec:
			if len(s.Values) != 1 {
				continue
			}
			name, ok := strings.CutSuffix(s.Names[0].Name, "Type")
			value, isText := s.Values[0].(*ast.BasicLit)
			if !ok || !isText || value.Kind != token.STRING {
				continue
			}
			if typ, err := strconv.Unquote(value.Value); err == nil {
				names[name] = typ
			}
		}
	}
}
