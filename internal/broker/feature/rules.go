package feature

import "fmt"

// refusal says why a level may not be set, in Kafka's words, or "".
func (s *Set) refusal(u Update, current int16) string {
	invalid := func(format string, args ...any) string {
		return fmt.Sprintf("Invalid update version %d for feature %s. %s", u.Level, u.Name, fmt.Sprintf(format, args...))
	}
	if u.Kind < Upgrade || u.Kind > UnsafeDowngrade {
		return invalid("The controller does not support the given upgrade type.")
	}
	if u.Level < 0 {
		return invalid("A feature version cannot be less than 0.")
	}
	f, ok := s.find(u.Name)
	switch {
	case !ok:
		return invalid("Local controller %d does not support this feature.", s.node)
	case u.Level < f.Lowest || u.Level > f.Highest:
		return invalid("Local controller %d only supports versions %d-%d", s.node, f.Lowest, f.Highest)
	case u.Level < current && u.Kind == Upgrade:
		return invalid("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
	case u.Level > current && u.Kind != Upgrade:
		return invalid("Can't downgrade to a newer version.")
	case u.Name == kraftVersion && u.Level != current:
		return invalid("There is no KRaft quorum: metadata is kept in a store of its own.")
	case u.Name == metadataVersion && u.Level < current:
		why := "Refusing to perform the requested downgrade because it might delete metadata information."
		if u.Kind == UnsafeDowngrade {
			why = "Unsafe metadata downgrade is not supported in this version."
		}
		return fmt.Sprintf("Unsupported metadata.version downgrade from %d to %d. %s", current, u.Level, why)
	}
	return ""
}
