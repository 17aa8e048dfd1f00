package kvredis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// DefaultAddress is where the database is when none is given.
const DefaultAddress = "redis://127.0.0.1:6379"

// schemes are those of addresses, and what the client calls them.
var schemes = map[string]string{"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}

// errAddress does not repeat the address, nor what is wrong with it: parts of a password might be in it.
var errAddress = errors.New("it cannot be read; it must look like redis://user:password@host:6379/0, rediss:// or valkeys:// for TLS, " +
	"with the special characters of a password percent-encoded")

// ParseAddress checks an address: redis://, rediss:// (TLS), valkey://, valkeys:// (TLS), unix:// or host:port. Errors do
// not show it.
func ParseAddress(address string) error {
	_, err := clientOptions(address)
	return err
}

func clientOptions(address string) (*redis.Options, error) {
	if address == "" {
		address = DefaultAddress
	}
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		scheme, rest = "redis", address
	}
	known, ok := schemes[strings.ToLower(scheme)]
	if !ok {
		return nil, errAddress
	}
	u, err := url.Parse(known + "://" + rest)
	if err != nil || known != "unix" && !oneHost(u) {
		return nil, errAddress
	}
	// What a query may say about retries, pools and times is not up to it.
	query := u.Query()
	for name := range query {
		if name != "db" && name != "skip_verify" {
			return nil, fmt.Errorf("%q is not known; only db and skip_verify may follow the question mark", name)
		}
	}
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, errAddress
	}
	if o.TLSConfig != nil {
		o.TLSConfig.MinVersion = tls.VersionTLS12
	}
	o.Protocol, o.DisableIdentity, o.ContextTimeoutEnabled = 2, true, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.MaxRetries, o.DialerRetries = -1, 1 // what to do again, and when, is decided here
	return o, nil
}

// oneHost tells whether there is a host, and no more colons than there may be.
func oneHost(u *url.URL) bool {
	host := u.Hostname()
	return host != "" && (!strings.Contains(host, ":") || strings.HasPrefix(u.Host, "["))
}

// What connections may take and how many there are.
const (
	dialTimeout  = time.Second
	writeTimeout = 2 * time.Second
	readers      = 64
	idleReaders  = 2
)

// clients are one for picks and one for writes: those do not wait for these.
func clients(o redis.Options, forReads, forWrites *lines) (reader, writer *redis.Client) {
	forReads.secure, forWrites.secure = o.TLSConfig, o.TLSConfig
	o.DialTimeout = dialTimeout
	read, write := o, o
	read.Dialer, write.Dialer = forReads.dial, forWrites.dial
	read.ReadTimeout, read.WriteTimeout, read.PoolTimeout = dialTimeout, dialTimeout, Patience
	read.PoolSize, read.MinIdleConns = readers, idleReaders
	write.ReadTimeout, write.WriteTimeout, write.PoolTimeout = writeTimeout, writeTimeout, writeTimeout
	write.PoolSize, write.MinIdleConns = 1, 0
	return redis.NewClient(&read), redis.NewClient(&write)
}

// quiet has the client's own messages come at debug level: what they are about is logged here.
type quiet struct{}

func (quiet) Printf(_ context.Context, format string, values ...any) {
	slog.Debug("the client of Redis says: " + fmt.Sprintf(format, values...))
}

func init() { redis.SetLogger(quiet{}) }
