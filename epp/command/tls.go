package command

import (
	"fmt"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/switchyard/switchyard/epp/certificate"
)

// security is how the port of ext_proc is secured.
func (f *pickerFlags) security(log *slog.Logger) ([]grpc.ServerOption, error) {
	if !f.secureServing {
		return nil, nil
	}
	limits, err := f.limits()
	if err != nil {
		return nil, err
	}
	shown, err := f.certificate(log)
	if err != nil {
		return nil, err
	}
	return []grpc.ServerOption{grpc.Creds(credentials.NewTLS(certificate.ServerConfigWith(shown, limits)))}, nil
}

func (f *pickerFlags) certificate(log *slog.Logger) (certificate.Source, error) {
	if f.certPath == "" {
		made, err := certificate.SelfSigned()
		if err != nil {
			return nil, err
		}
		return certificate.Always(made), nil
	}
	files, err := certificate.Load(f.certPath, log)
	if err != nil {
		return nil, fmt.Errorf("--cert-path: %w", err)
	}
	if !f.certReload {
		return files.Fixed(), nil
	}
	return files.Get, nil
}
