package identity

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/switchyard/switchyard/internal/source"
)

var (
	fleetCAAt = source.Key{Namespace: "team", Name: "xds-ca"}
	fleetAt   = source.Key{Namespace: "team", Name: "xds"}
)

// today has handshakes and certificates of this test be of this moment: the server's side has no clock to inject.
func today(t *testing.T) {
	before := now
	now = time.Now()
	t.Cleanup(func() { now = before })
}

// narrow is an API server with two empty Secrets, where nobody may create any; writes counts what was written.
func narrow(writes *atomic.Int32) client.WithWatch {
	var empty []client.Object
	for _, at := range []source.Key{fleetCAAt, fleetAt} {
		empty = append(empty, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: at.Namespace, Name: at.Name, Labels: map[string]string{"of": "the chart"}}})
	}
	return interceptor.NewClient(fake.NewClientBuilder().WithObjects(empty...).Build(), interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", errors.New("no"))
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			err := c.Update(ctx, o, opts...)
			if err == nil && writes != nil {
				writes.Add(1)
			}
			return err
		},
	})
}

func fleetOn(c client.Client) *Fleet {
	return NewFleet(FleetOptions{
		AuthorityOptions: AuthorityOptions{Client: c, Secret: fleetCAAt, DNSNames: []string{"cp.example"}, Log: slog.New(slog.DiscardHandler)},
		Certificate:      fleetAt, View: gateway,
	})
}

// held is the pair of the fleet's Secret.
func held(t *testing.T, c client.Client) Pair {
	t.Helper()
	secret, err := readSecret(t.Context(), c, fleetAt)
	if err != nil {
		t.Fatal(err)
	}
	if secret.Labels["of"] != "the chart" || len(secret.Data) != 3 {
		t.Errorf("the Secret has labels %v and %d entries", secret.Labels, len(secret.Data))
	}
	return ReadPair(secret.Data)
}

// keepAll has replicas look at the same time, and look again as long as another was faster.
func keepAll(t *testing.T, replicas ...*Fleet) {
	t.Helper()
	var wg sync.WaitGroup
	for _, f := range replicas {
		wg.Go(func() {
			err := f.keep(t.Context())
			for err != nil && overtaken(err) {
				err = f.keep(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestReplicasOfAFleetAgree: whoever is asked, the proxies' certificate is good there, and it was issued once.
func TestReplicasOfAFleetAgree(t *testing.T) {
	var writes atomic.Int32
	c := narrow(&writes)
	var replicas []*Fleet
	for range 6 {
		replicas = append(replicas, fleetOn(c))
	}
	if replicas[0].Ready() {
		t.Error("ready before there is a CA")
	}
	if _, err := handshake(t, replicas[0].current, newCA(t), nil, 0); err == nil {
		t.Error("somebody is let in before there is a CA")
	}
	keepAll(t, replicas...)
	keepAll(t, replicas...)
	if got := writes.Load(); got != 2 {
		t.Errorf("%d writes, want one of the CA and one of the certificate", got)
	}
	pair := held(t, c)
	today(t)
	for _, f := range replicas {
		ctx, err := handshake(t, f.current, f.CA(), &pair, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := Authorize(ctx, &corev3.Node{Cluster: gateway.String()}); err != nil || !f.Ready() {
			t.Error(err)
		}
	}
	if secret, err := readSecret(t.Context(), c, fleetAt); err != nil || secret.Data[caKeyKey] != nil {
		t.Errorf("proxies are given the CA's key: %v", err)
	}
}

// TestFleetWhereSecretsMayBeCreated needs nobody to make them first.
func TestFleetWhereSecretsMayBeCreated(t *testing.T) {
	c := newClient()
	keepAll(t, fleetOn(c), fleetOn(c))
	secret, err := readSecret(t.Context(), c, fleetAt)
	if err != nil || ReadPair(secret.Data).Certificate == nil {
		t.Errorf("%v, %v", secret, err)
	}
}

// TestFleetIsRenewed: when it is due, when the CA is another, and when somebody broke it; else never.
func TestFleetIsRenewed(t *testing.T) {
	var writes atomic.Int32
	c := narrow(&writes)
	f, at := fleetOn(c), time.Now()
	f.opts.Now = func() time.Time { return at }
	expect := func(what string, want int32) {
		t.Helper()
		before := writes.Load()
		keepAll(t, f)
		if got := writes.Load() - before; got != want {
			t.Errorf("%s: %d writes, want %d", what, got, want)
		}
		if err := f.CA().CheckFleet(held(t, c), gateway, at); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	change := func(at source.Key, data map[string][]byte) {
		t.Helper()
		secret, err := readSecret(t.Context(), c, at)
		if err != nil {
			t.Fatal(err)
		}
		secret.Data = data
		if err := c.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	expect("at first", 2)
	at = at.Add(CertificateLifetime / 2)
	expect("before it is due", 0)
	at = at.Add(CertificateLifetime / 4)
	expect("when it is due", 1)
	change(fleetAt, Pair{Certificate: []byte("broken")}.Data())
	expect("when it is broken", 1)
	change(fleetCAAt, nil)
	expect("when the CA is another", 2)
	change(fleetAt, nil)
	expect("when it is gone", 1)
}

// TestAnOlderCAWritesOverNothing: a replica looks at the CA just before it changes, and is about to write when another has
// written by the new one.
func TestAnOlderCAWritesOverNothing(t *testing.T) {
	inner := narrow(nil)
	keepAll(t, fleetOn(inner))
	other := fleetOn(inner)
	other.opts.Now = func() time.Time { return time.Now().Add(CertificateLifetime) } // all is due for both
	changed := false
	slow := interceptor.NewClient(inner, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			err := c.Get(ctx, key, o, opts...)
			if key.Name != fleetCAAt.Name || changed || err != nil {
				return err
			}
			changed = true
			secret := o.DeepCopyObject().(*corev1.Secret)
			secret.Data = nil
			if err := c.Update(ctx, secret); err != nil {
				t.Error(err)
			}
			keepAll(t, other)
			return nil
		},
	})
	late := fleetOn(slow)
	late.opts.Now = other.opts.Now
	if err := late.keep(t.Context()); !overtaken(err) {
		t.Errorf("it was not told that another was faster: %v", err)
	}
	if err := other.CA().CheckFleet(held(t, inner), gateway, other.opts.Now()); err != nil {
		t.Errorf("the certificate is of the CA that was: %v", err)
	}
	keepAll(t, late)
	if late.CA().Fingerprint() != other.CA().Fingerprint() {
		t.Error("the late one has not followed")
	}
}

// TestFleetWithoutAPIServer goes on with what is known, and finds it as soon as there is one.
func TestFleetWithoutAPIServer(t *testing.T) {
	var away atomic.Bool
	away.Store(true)
	c := interceptor.NewClient(narrow(nil), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if away.Load() {
				return errors.New("connection refused")
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	f := fleetOn(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	if err := f.keep(t.Context()); err == nil || f.Ready() {
		t.Errorf("ready without an API server: %v", err)
	}
	away.Store(false)
	for deadline := time.Now().Add(20 * time.Second); !f.Ready(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not ready within 20 s")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	keepAll(t, f)
	pair := held(t, c)
	away.Store(true)
	if err := f.keep(t.Context()); err == nil {
		t.Error("no word of the API server that is away")
	}
	today(t)
	if _, err := handshake(t, f.current, f.CA(), &pair, 0); err != nil {
		t.Error(err)
	}
}

// TestFiles are read at every handshake, and those before stay while they are broken.
func TestFiles(t *testing.T) {
	today(t)
	dir := t.TempDir()
	put := func(data map[string][]byte) {
		t.Helper()
		for name, content := range data {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	server := func(ca *CA) map[string][]byte {
		t.Helper()
		pair, err := ca.IssueServer([]string{"cp.example"}, now)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Data()
	}
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, nil))
	if _, err := LoadFiles(dir, log); err == nil {
		t.Error("an empty folder was accepted")
	}
	first, second := newCA(t), newCA(t)
	put(server(first))
	files, err := LoadFiles(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, ca *CA) {
		t.Helper()
		mine, theirs := fleetPair(t, ca, gateway), fleetPair(t, newCA(t), gateway)
		if _, err := handshake(t, files.current, ca, &mine, 0); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := handshake(t, files.current, ca, &theirs, 0); err == nil {
			t.Errorf("%s: a stranger is let in", what)
		}
	}
	expect("at first", first)
	put(map[string][]byte{"ca.crt": []byte("half a")})
	expect("with a broken file", first)
	put(server(second))
	expect("after the change", second)
	if got := strings.Count(said.String(), "cannot be used"); got != 1 {
		t.Errorf("the log tells %d times, want once: %s", got, said.String())
	}
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadFiles(dir, log); err == nil {
		t.Error("a folder without authorities was accepted")
	}
}
