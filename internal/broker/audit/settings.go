package audit

import (
	"time"

	"github.com/weir-stream/weir/internal/base/config"
)

// Settings of the audit log. They are Weir's own.
var (
	Enable = config.Bool("audit.enable", false, config.Common,
		"Write who did, or was refused, what into the topic _weir_audit.")
	Categories = config.List("audit.categories", []string{string(Management), string(Authentications), string(Denied)}, config.OneOf(categoryNames()...),
		"Events that are written: management (changes of topics, configs, ACLs, groups), authentication, denied (whatever was refused), and those that come often: describe, produce, consume.")
	QueueEvents = config.Int("audit.queue.events", 10_000, config.Range(1, 1_000_000),
		"Events that may wait to be written. More are dropped, counted, and told of in the log itself: requests never wait for the audit log.")
	Retention = config.Millis("audit.retention.ms", 90*24*time.Hour, config.AtLeast(-1),
		"Time that events are kept, set when the topic is created; -1 is for ever.")
)

// Settings are the settings that this package reads.
func Settings() []config.Declared {
	return []config.Declared{Enable, Categories, QueueEvents, Retention}
}
