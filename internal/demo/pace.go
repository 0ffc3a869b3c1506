package demo

import "time"

// MaxSpeed sends everything at once.
const MaxSpeed = -1

// DefaultDuration is how long a run lasts when no speed is chosen.
const DefaultDuration = 30 * time.Second

// Schedule returns for each event when it is to be sent, counted from the start of the run. Stretches without events
// longer than longest are shortened to it (0: never). Speed is how many times faster than event time the run goes; 0
// chooses a speed that makes it last DefaultDuration, MaxSpeed sends everything at once. The speed that was used is
// returned as well.
func Schedule(events []Event, longest time.Duration, speed float64) ([]time.Duration, float64) {
	at := make([]time.Duration, len(events))
	if speed == MaxSpeed || len(events) == 0 {
		return at, speed
	}
	for i := 1; i < len(events); i++ {
		gap := max(0, events[i].At.Sub(events[i-1].At))
		if longest > 0 {
			gap = min(gap, longest)
		}
		at[i] = at[i-1] + gap
	}
	if speed <= 0 {
		speed = max(float64(at[len(at)-1])/float64(DefaultDuration), 1)
	}
	for i := range at {
		at[i] = time.Duration(float64(at[i]) / speed)
	}
	return at, speed
}
