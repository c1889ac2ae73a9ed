package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
)

// Who the sender is, and the settings that clients of the hosted API keep. Nothing here sends
// notifications. The settings are for programs that do, and for clients that set them.

// notificationsMark stands behind a namespace, which has no colon: no lease has such a store key.
const notificationsMark = ":me/notifications"

// notifications are the settings of a namespace. All are off unless set.
type notifications struct {
	Email       bool `json:"email_notifications_enabled"`
	ToolErrors  bool `json:"tool_error_notifications_enabled"`
	RunFailures bool `json:"run_failure_notifications_enabled"`
}

type meAnswer struct {
	Plan      string  `json:"plan"`
	Namespace string  `json:"namespace"`
	Email     *string `json:"email"` // null: nobody is known by an address here
	notifications
}

func me(c *call) (any, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	n, _, err := c.loadNotifications()
	if err != nil {
		return nil, unavailable(err)
	}
	return meAnswer{plan, c.namespace(), nil, n}, nil
}

// setNotifications changes the settings that were sent, and leaves the others as they are.
func setNotifications(c *call) (any, error) {
	sent := notifications{
		Email:       c.flag("email_notifications_enabled"),
		ToolErrors:  c.flag("tool_error_notifications_enabled"),
		RunFailures: c.flag("run_failure_notifications_enabled"),
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	n, err := c.changeNotifications(func(n *notifications) {
		if c.raw("email_notifications_enabled") != nil {
			n.Email = sent.Email
		}
		if c.raw("tool_error_notifications_enabled") != nil {
			n.ToolErrors = sent.ToolErrors
		}
		if c.raw("run_failure_notifications_enabled") != nil {
			n.RunFailures = sent.RunFailures
		}
	})
	if err != nil {
		return nil, err
	}
	return meAnswer{plan, c.namespace(), nil, n}, nil
}

// changeNotifications reads the settings, changes them, and writes them at the revision that it
// read, until the settings that stand are the changed ones. So a write of unknown outcome may be
// repeated.
func (c *call) changeNotifications(change func(n *notifications)) (notifications, error) {
	b, namespace := runlink.Of(c.manager).Store()
	unknown := false
	for {
		stood, revision, err := c.loadNotifications()
		if err == nil {
			n := stood
			if change(&n); n == stood {
				return n, nil
			}
			text, _ := json.Marshal(n) // booleans always marshal
			_, err = b.CompareAndSet(c.ctx, namespace+notificationsMark, revision, text, 0)
			switch {
			case err == nil:
				return n, nil
			case errors.Is(err, backend.ErrConflict):
				if c.ctx.Err() == nil {
					continue
				}
			case !errors.Is(err, backend.ErrUnavailable) && !errors.Is(err, backend.ErrClosed):
				unknown = true
			}
		}
		if !unknown {
			return stood, unavailable(err)
		}
		select {
		case <-c.ctx.Done():
			return stood, fmt.Errorf("%w: notification settings: %w", lease.ErrUnknownOutcome, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *call) loadNotifications() (n notifications, revision uint64, err error) {
	b, namespace := runlink.Of(c.manager).Store()
	e, err := b.Get(c.ctx, namespace+notificationsMark)
	if errors.Is(err, backend.ErrNotFound) {
		return n, 0, nil
	}
	if err != nil {
		return n, 0, err
	}
	if json.Unmarshal(e.Value, &n) != nil {
		return n, 0, fmt.Errorf("%w: notification settings, %d bytes that are not JSON of settings", lease.ErrUnreadable, len(e.Value))
	}
	return n, e.Revision, nil
}

// unavailable wraps an error of the store, after which nothing was written.
func unavailable(err error) error {
	if errors.Is(err, lease.ErrUnreadable) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: notification settings: %w", lease.ErrUnavailable, err)
}
