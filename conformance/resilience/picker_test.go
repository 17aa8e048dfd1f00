package resilience

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pickerPort is where pickers answer ext_proc.
const pickerPort = 9002

// newPickerService is a Service named name over the pods with these labels; nil makes one whose endpoints are given by hand.
func newPickerService(namespace, name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{
			Selector: selector,
			Ports:    []corev1.ServicePort{{Name: "grpc", Port: pickerPort, TargetPort: intstr.FromInt32(pickerPort)}},
		},
	}
}

// newForeignPicker runs a picker that the control plane knows nothing of: the Deployment and the Service epp. It picks for the pool
// open, over TLS with a certificate that it has signed itself. Its pod is killed, not asked to end.
// It is not ready before its pool is there.
func (in *installation) newForeignPicker(t *testing.T, namespace string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "epp"}
	d := newDeployment(namespace, "epp", 1, corev1.Container{
		Image: in.image, Command: in.command,
		Args: []string{"epp", "--pool-name", "open", "--pool-namespace", namespace},
		ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
			GRPC: &corev1.GRPCAction{Port: 9003},
		}},
	})
	d.Spec.Template.Spec.ServiceAccountName = "epp"
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = ptr(int64(0))
	read := []string{"get", "list", "watch"}
	for _, o := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: read},
			{APIGroups: []string{"inference.networking.k8s.io"}, Resources: []string{"inferencepools"}, Verbs: read},
			{APIGroups: []string{"inference.networking.x-k8s.io", "llm-d.ai"}, Resources: []string{"inferenceobjectives", "inferencemodelrewrites"}, Verbs: read},
		}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "epp"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "epp"}},
		},
		newPickerService(namespace, "epp", map[string]string{"app": "epp"}),
		d,
	} {
		if err := in.Create(t.Context(), o); err != nil {
			t.Fatalf("making %T epp: %v", o, err)
		}
	}
}

// wire is a connection between proxies and a picker that can be cut. It is a TCP relay in this process, and the Service wire has its
// address as its only endpoint. While it is cut everything stays open, and nothing moves.
type wire struct {
	service string
	target  string

	mu      sync.Mutex
	cutOff  bool
	changed chan struct{}
	conns   []net.Conn
}

// newWire puts a wire before the only pod of a Deployment.
func (in *installation) newWire(t *testing.T, namespace, deployment string) *wire {
	t.Helper()
	w := &wire{service: "wire", changed: make(chan struct{})}
	eventually(t, settled, "the pod of "+deployment+" has an address", func(ctx context.Context) error {
		d, err := in.deployment(ctx, namespace, deployment)
		if err != nil {
			return err
		}
		pods, err := in.podsOf(ctx, d)
		if err != nil {
			return err
		}
		if len(pods) != 1 || pods[0].Status.PodIP == "" {
			return fmt.Errorf("%d pods, want one with an address", len(pods))
		}
		w.target = net.JoinHostPort(pods[0].Status.PodIP, strconv.Itoa(pickerPort))
		return nil
	})
	address := w.listen(t)
	service := newPickerService(namespace, w.service, nil)
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: w.service, Labels: map[string]string{discoveryv1.LabelServiceName: w.service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{address.Addr().String()}, Conditions: discoveryv1.EndpointConditions{Ready: ptr(true)},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: ptr("grpc"), Port: ptr(int32(address.Port()))}},
	}
	if err := errors.Join(in.Create(t.Context(), service), in.Create(t.Context(), slice)); err != nil {
		t.Fatal(err)
	}
	return w
}

// listen accepts connections at the address of this machine that pods can reach: the one that it reaches the target from.
func (w *wire) listen(t *testing.T) netip.AddrPort {
	t.Helper()
	probe, err := net.Dial("udp", w.target)
	if err != nil {
		t.Fatal(err)
	}
	own := probe.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	_ = probe.Close()
	l, err := net.Listen("tcp", netip.AddrPortFrom(own, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var relays sync.WaitGroup
	relays.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.keep(conn)
			relays.Go(func() { w.relay(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		w.closeAll()
		relays.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// relay carries one connection in both directions.
func (w *wire) relay(ctx context.Context, from net.Conn) {
	defer from.Close()
	if w.pass(ctx) != nil {
		return
	}
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.target)
	if err != nil {
		return
	}
	defer to.Close()
	w.keep(to)
	var both sync.WaitGroup
	both.Go(func() { w.carry(ctx, from, to) })
	both.Go(func() { w.carry(ctx, to, from) })
	both.Wait()
}

// carry copies in one direction, and stops in its tracks while the wire is cut.
func (w *wire) carry(ctx context.Context, from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if w.pass(ctx) != nil {
			return
		}
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// pass waits while the wire is cut.
func (w *wire) pass(ctx context.Context) error {
	for {
		w.mu.Lock()
		cut, changed := w.cutOff, w.changed
		w.mu.Unlock()
		if !cut {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cutOff = cut
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *wire) cut()  { w.set(true) }
func (w *wire) mend() { w.set(false) }

func (w *wire) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
}

func (w *wire) closeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
}
