package broker

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
)

// eachOverride calls f for each HOST:COUNT of max.connections.per.ip.overrides until that returns false.
func eachOverride(text string, f func(host string, count int) bool) error {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		i := strings.LastIndexByte(part, ':')
		if i <= 0 || strings.ContainsAny(part[:i], "[] ") {
			return fmt.Errorf("%q is not of the form HOST:COUNT", part)
		}
		count, err := strconv.ParseInt(part[i+1:], 10, 32)
		if err != nil || count < 0 {
			return fmt.Errorf("%q has no count behind its last colon", part)
		}
		if !f(part[:i], int(count)) {
			return nil
		}
	}
	return nil
}

func checkOverrides(v any) error {
	text, ok := v.(string)
	if !ok {
		return errors.New("not a text")
	}
	return eachOverride(text, func(string, int) bool { return true })
}

// connectionsFrom is how many connections there may be from an address. Names are not looked up: an override that is no
// address fits nobody.
func connectionsFrom(host string, v *config.Values) int {
	limit := ConnectionsMaxPerIP.Get(v)
	text := ConnectionsPerIPOverrides.Get(v)
	if text == "" {
		return limit
	}
	from, err := netip.ParseAddr(host)
	if err != nil {
		return limit
	}
	// The error would have been told when the setting was made.
	_ = eachOverride(text, func(h string, count int) bool {
		a, err := netip.ParseAddr(h)
		if err != nil || a.Unmap() != from.Unmap() {
			return true
		}
		limit = count
		return false
	})
	return limit
}
