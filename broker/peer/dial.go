package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// aliveTimeout bounds the dial of Alive where its context does not: an address that does not answer refuses nothing.
const aliveTimeout = 500 * time.Millisecond

// Alive asks whether a process listens at an address; true says that the dial was refused outright, so that the process
// is gone. An address that answers, or from which nothing comes back, is not refused.
func Alive(ctx context.Context, address string) (refused bool) {
	d := net.Dialer{Timeout: aliveTimeout}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return ctx.Err() == nil && errors.Is(err, syscall.ECONNREFUSED)
}

// DialPurpose opens a connection for a purpose and returns it with the name of the other end, which is the one wanted: a
// node id of -1 and a directory of zeros want whoever answers.
func DialPurpose(ctx context.Context, cfg Config, purpose Purpose, to Identity, address string) (net.Conn, Identity, error) {
	cfg = cfg.withDefaults()
	deadline := time.Now().Add(cfg.HandshakeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	conn, err := dial(ctx, cfg, address, time.Until(deadline))
	if err != nil {
		return nil, Identity{}, fmt.Errorf("dial %s: %w", address, err)
	}
	other, err := greetUntil(ctx, conn, deadline, func() (Identity, error) {
		return greet(conn, purpose, cfg.Identity(), to, cfg.Token)
	})
	if err != nil {
		_ = conn.Close()
		if cfg.Stranger != nil && errors.Is(err, errToken) {
			cfg.Stranger(address)
		}
		return nil, Identity{}, fmt.Errorf("greet %s: %w", address, err)
	}
	return conn, other, nil
}

func dial(ctx context.Context, cfg Config, address string, timeout time.Duration) (net.Conn, error) {
	if cfg.Dial != nil {
		return cfg.Dial("tcp", address, timeout)
	}
	d := net.Dialer{Timeout: max(timeout, 1), KeepAliveConfig: keepAlive()}
	return d.DialContext(ctx, "tcp", address)
}

// keepAlive notices a machine that is gone in about fifteen seconds instead of minutes.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3}
}

// greetUntil runs a handshake that ends with the deadline or the context, and clears both from the connection.
func greetUntil(ctx context.Context, conn net.Conn, deadline time.Time, run func() (Identity, error)) (Identity, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return Identity{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	other, err := run()
	if !stop() {
		return Identity{}, errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return Identity{}, err
	}
	return other, conn.SetDeadline(time.Time{})
}
