package stage

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// MakeGateway makes the Gateway and waits until it is Programmed, has an address, and something listens there. With an address given,
// that one is asked instead of the one in the Gateway's status. The returned address has a port.
func (s *Stage) MakeGateway(ctx context.Context, given string) (string, error) {
	gateway := &gatewayv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: GatewayName},
		Spec: gatewayv1.GatewaySpec{
			GatewayClassName: gatewayv1.ObjectName(s.Class),
			Listeners:        []gatewayv1.Listener{{Name: "http", Protocol: gatewayv1.HTTPProtocolType, Port: s.ListenerPort}},
		},
	}
	if err := s.Client.Create(ctx, gateway); err != nil {
		return "", fmt.Errorf("create Gateway: %w", err)
	}
	address := given
	err := s.until(ctx, s.Patience, func() (bool, string) {
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(gateway), gateway); err != nil {
			return false, err.Error()
		}
		if given == "" {
			address = statusAddress(gateway)
		}
		programmed := meta.IsStatusConditionTrue(gateway.Status.Conditions, string(gatewayv1.GatewayConditionProgrammed))
		return programmed && address != "", fmt.Sprintf("addresses %v; %s", gateway.Status.Addresses, describe(gateway.Status.Conditions))
	})
	if err != nil {
		return "", fmt.Errorf("wait for Gateway %s/%s to be Programmed: %w", s.Namespace, GatewayName, err)
	}
	if err := s.listens(ctx, address); err != nil {
		return "", err
	}
	s.Log.Info("gateway is programmed", "address", address)
	return address, nil
}

// AwaitAttached waits until the Gateway says that so many routes are attached. It measures nothing: it looks now and then.
func (s *Stage) AwaitAttached(ctx context.Context, routes int) error {
	key := client.ObjectKey{Namespace: s.Namespace, Name: GatewayName}
	var gateway gatewayv1.Gateway
	err := s.until(ctx, s.Patience, func() (bool, string) {
		if err := s.Client.Get(ctx, key, &gateway); err != nil {
			return false, err.Error()
		}
		attached := int32(0)
		if len(gateway.Status.Listeners) > 0 {
			attached = gateway.Status.Listeners[0].AttachedRoutes
		}
		return attached == int32(routes), fmt.Sprintf("attachedRoutes is %d", attached)
	})
	if err != nil {
		return fmt.Errorf("wait for attachedRoutes of Gateway %s to be %d: %w", key, routes, err)
	}
	return nil
}

func statusAddress(gateway *gatewayv1.Gateway) string {
	for _, a := range gateway.Status.Addresses {
		if a.Value != "" {
			return net.JoinHostPort(a.Value, strconv.Itoa(int(gateway.Spec.Listeners[0].Port)))
		}
	}
	return ""
}

func (s *Stage) listens(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	err := s.until(ctx, s.Patience, func() (bool, string) {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return false, err.Error()
		}
		return conn.Close() == nil, ""
	})
	if err != nil {
		return fmt.Errorf("connect to the Gateway's address %s (the benchmark has to run where it can be reached): %w", address, err)
	}
	return nil
}
