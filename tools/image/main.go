// Command image puts the static control plane into an OCI image, without Docker.
//
// It must not compile anything, and must not write what differs between two runs with the same input: no times, no owner, no host name.
//
//	programs (one per platform) -> layer and config -> archive, OCI layout, registry; the digest on stdout
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

type settings struct {
	name         string
	programs     []program
	certificates string
	labels       map[string]string

	archive string
	layout  string
	push    string
}

func main() {
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err == nil {
		err = run(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	s := settings{labels: map[string]string{}}
	f := flag.NewFlagSet("image", flag.ContinueOnError)
	f.StringVar(&s.name, "name", "", "name and tag inside the archive")
	f.StringVar(&s.certificates, "certificates", "/etc/ssl/certs/ca-certificates.crt", "CA bundle to add; left out when it does not exist")
	f.StringVar(&s.archive, "archive", "", "write what 'docker load' and 'ctr images import' read; holds one platform")
	f.StringVar(&s.layout, "layout", "", "write an OCI layout into this directory")
	f.StringVar(&s.push, "push", "", "push to this name, with the credentials that Docker's configuration file has")
	for _, label := range []string{"source", "version", "revision"} {
		f.Func(label, "label org.opencontainers.image."+label, func(text string) error {
			s.labels["org.opencontainers.image."+label] = text
			return nil
		})
	}
	f.Func("program", "[OS/ARCH=]FILE, the static program of a platform; may be repeated", func(text string) error {
		p := program{platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, file: text}
		if platform, file, named := strings.Cut(text, "="); named {
			parsed, err := v1.ParsePlatform(platform)
			if err != nil {
				return err
			}
			p = program{platform: *parsed, file: file}
		}
		s.programs = append(s.programs, p)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return s, err
	}
	switch {
	case len(s.programs) == 0:
		return s, errors.New("-program: name the program to put into the image")
	case s.archive != "" && s.name == "":
		return s, errors.New("-archive: the archive needs -name, the name under which it is loaded")
	}
	return s, nil
}

func run(s settings) error {
	images, err := build(s)
	if err != nil {
		return err
	}
	if s.archive != "" {
		if err := writeArchive(s.archive, s.name, images); err != nil {
			return err
		}
	}
	if s.layout != "" {
		if err := writeLayout(s.layout, images); err != nil {
			return err
		}
	}
	if s.push != "" {
		if err := push(s.push, images); err != nil {
			return err
		}
	}
	digest, err := images.digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}
