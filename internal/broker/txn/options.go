package txn

import "time"

// Options are the settings of a Machine. The zero value of a field means its default.
type Options struct {
	MaxTimeout      time.Duration // transaction.max.timeout.ms; default 15 min
	Expiration      time.Duration // transactional.id.expiration.ms; default 7 days
	CleanupInterval time.Duration // transaction.remove.expired.transaction.cleanup.interval.ms; default 1 h
}

func (o Options) withDefaults() Options {
	if o.MaxTimeout == 0 {
		o.MaxTimeout = 15 * time.Minute
	}
	if o.Expiration == 0 {
		o.Expiration = 7 * 24 * time.Hour
	}
	if o.CleanupInterval == 0 {
		o.CleanupInterval = time.Hour
	}
	return o
}
