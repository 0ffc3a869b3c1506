package gate

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/kafka/acl"
)

// pages tells what a page in a browser may do in the name of whoever looks at it. Browsers let every page send simple requests to every
// address, those of the reader's own machine too, with the password that he once gave; they only keep the answer from it.
func pages(origins []string) (*http.CrossOriginProtection, error) {
	p := http.NewCrossOriginProtection()
	for _, origin := range origins {
		if origin == "*" {
			return nil, nil //nolint:nilnil // every page may
		}
		if err := p.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("setting %s: %w", Origins.Name(), err)
		}
	}
	return p, nil
}

// fromPage refuses changes, and WebSockets, for pages of origins that are neither the service's own nor allowed.
func (g *Gate) fromPage(r *http.Request) error {
	if g.pages == nil {
		return nil
	}
	asked := r
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") { // asked for with GET, and not under the browser's rules for reading
		asked = r.Clone(r.Context())
		asked.Method = http.MethodPost
	}
	if g.pages.Check(asked) != nil {
		return Errorf(http.StatusForbidden, "pages of %.200q may not use this service in a browser: setting %s names those that may", r.Header.Get("Origin"), Origins.Name())
	}
	return nil
}

// calledByName refuses nameless callers of a listener on loopback by a name that may be anybody's: whoever owns a name can make it mean
// 127.0.0.1 while his page is being looked at, and the page could then read everything (DNS rebinding).
func (g *Gate) calledByName(r *http.Request, c Caller) error {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	bound, _ := netip.ParseAddrPort(g.Address()) //nolint:errcheck // zero is no loopback address
	_, notAddress := netip.ParseAddr(host)
	switch {
	case !bound.Addr().IsLoopback(), c.Principal != acl.Anonymous, notAddress == nil:
	case host == "", host == "localhost", strings.HasSuffix(host, ".localhost"), slices.Contains(g.o.Hosts, host):
	default:
		return Errorf(http.StatusMisdirectedRequest, "%.200q may be anybody's name for this machine: call localhost, or name it in the setting %s", host, Hosts.Name())
	}
	return nil
}
