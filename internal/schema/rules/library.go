package rules

import (
	"fmt"
	"maps"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
)

// newEnv makes the environment that all expressions share: CEL's standard functions and macros, the extension of strings, and
// the checks of texts that Confluent's executors have.
func newEnv() (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(MaxExpressionBytes), cel.ParserRecursionLimit(maxNesting), cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegexProgram),
		ext.Strings(ext.StringsValidateFormatCalls(true)),
	}
	checks := map[string]func(string) bool{
		"isEmail": isEmail, "isHostname": isHostname, "isIpv4": isIpv4, "isIpv6": isIpv6, "isUri": isURI, "isUriRef": isURIRef, "isUuid": isUUID,
	}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		check := checks[name]
		opts = append(opts, cel.Function(name, cel.MemberOverload("string_"+name, []*cel.Type{cel.StringType}, cel.BoolType,
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				s, ok := v.(types.String)
				return types.Bool(ok && check(string(s)))
			}))))
	}
	return cel.NewEnv(append(opts, elsewhere()...)...)
}

// elsewhere declares what the newest executors of Confluent's clients know and this one does not, so that rules with it can be
// registered. Calling one is an error.
func elsewhere() []cel.EnvOption {
	arities := map[string][]int{
		"decimal": {1, 2}, "decimals.round": {1, 2}, "decimals.trunc": {1, 2}, "timestamp.of": {1, 2}, "variant": {1, 2},
	}
	for _, name := range []string{"sqrt", "neg", "abs", "sign", "floor", "ceil"} {
		arities["decimals."+name] = []int{1}
	}
	for _, name := range []string{"eq", "lt", "le", "gt", "ge", "add", "sub", "mul", "div"} {
		arities["decimals."+name] = []int{2}
	}
	for _, name := range []string{"parseJson", "tryParseJson", "type", "isNull", "toJson"} {
		arities["variants."+name] = []int{1}
	}
	for _, name := range []string{"path", "field", "elem", "as", "tryAs"} {
		arities["variants."+name] = []int{2}
	}
	var opts []cel.EnvOption
	for _, name := range slices.Sorted(maps.Keys(arities)) {
		var overloads []cel.FunctionOpt
		for _, n := range arities[name] {
			id := fmt.Sprintf("%s_%d", strings.ReplaceAll(name, ".", "_"), n)
			overloads = append(overloads, cel.Overload(id, slices.Repeat([]*cel.Type{cel.DynType}, n), cel.DynType,
				cel.FunctionBinding(func(...ref.Val) ref.Val { return types.NewErr("%s() runs in clients alone, not here", name) })))
		}
		opts = append(opts, cel.Function(name, overloads...))
	}
	return opts
}

// guarded puts a check before each function whose result or whose time is more than the sum of its arguments: CEL reckons the
// cost of a call after the call.
func guarded(env *cel.Env) cel.ProgramOption {
	checks := map[string]func([]ref.Val) error{"replace": checkReplace, "join": checkJoin, "format": checkFormat, "indexOf": checkSearch, "lastIndexOf": checkSearch}
	var over []*functions.Overload
	for name, check := range checks {
		f := env.Functions()[name]
		if f == nil {
			continue
		}
		bindings, err := f.Bindings()
		if err != nil {
			continue // New has made the same bindings
		}
		for _, b := range bindings {
			over = append(over, guard(b, check))
		}
	}
	return cel.Functions(over...) //nolint:staticcheck // the one way to put a binding before another library's
}

func guard(b *functions.Overload, check func([]ref.Val) error) *functions.Overload {
	g := *b
	if call := b.Unary; call != nil {
		g.Unary = func(v ref.Val) ref.Val {
			if err := check([]ref.Val{v}); err != nil {
				return types.WrapErr(err)
			}
			return call(v)
		}
	}
	if call := b.Binary; call != nil {
		g.Binary = func(l, r ref.Val) ref.Val {
			if err := check([]ref.Val{l, r}); err != nil {
				return types.WrapErr(err)
			}
			return call(l, r)
		}
	}
	if call := b.Function; call != nil {
		g.Function = func(args ...ref.Val) ref.Val {
			if err := check(args); err != nil {
				return types.WrapErr(err)
			}
			return call(args...)
		}
	}
	return &g
}

func tooMuch(what string) error {
	return fmt.Errorf("%s would make more than %d bytes", what, maxMade)
}

func text(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

func checkReplace(args []ref.Val) error {
	if len(args) < 3 {
		return nil
	}
	s, old, put := text(args[0]), text(args[1]), text(args[2])
	if len(put) > len(old) && len(s)+strings.Count(s, old)*(len(put)-len(old)) > maxMade {
		return tooMuch("replace")
	}
	return nil
}

func checkJoin(args []ref.Val) error {
	list, ok := args[0].(traits.Lister)
	if !ok {
		return nil
	}
	sep := 0
	if len(args) > 1 {
		sep = len(text(args[1]))
	}
	made := 0
	for it := list.Iterator(); it.HasNext() == types.True; {
		if made += len(text(it.Next())) + sep; made > maxMade {
			return tooMuch("join")
		}
	}
	return nil
}

func checkFormat(args []ref.Val) error {
	budget := maxMade
	for _, a := range args {
		if !spend(a, 0, &budget) {
			return tooMuch("format")
		}
	}
	return nil
}

// spend takes what a value takes as a text from the budget.
func spend(v ref.Val, depth int, budget *int) bool {
	switch x := v.(type) {
	case types.String:
		*budget -= len(x)
	case types.Bytes:
		*budget -= 2 * len(x)
	case traits.Mapper:
		for it := x.Iterator(); *budget > 0 && depth < maxNesting && it.HasNext() == types.True; {
			k := it.Next()
			spend(k, depth+1, budget)
			spend(x.Get(k), depth+1, budget)
		}
	case traits.Lister:
		for it := x.Iterator(); *budget > 0 && depth < maxNesting && it.HasNext() == types.True; {
			spend(it.Next(), depth+1, budget)
		}
	}
	*budget -= 24 // a number, or the punctuation around a value
	return *budget > 0
}

func checkSearch(args []ref.Val) error {
	if len(args) >= 2 && len(text(args[0]))*len(text(args[1])) > maxSearch {
		return fmt.Errorf("searching %d bytes in %d takes too long", len(text(args[1])), len(text(args[0])))
	}
	return nil
}

func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 {
		return false
	}
	at := strings.LastIndexByte(s, '@')
	return at <= 64 && isHostname(s[at+1:])
}

// isHostname follows RFC 1123; a name whose last label is a number is an address that somebody got wrong.
func isHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	digits := false
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		digits = true
		for _, c := range []byte(label) {
			switch {
			case c >= '0' && c <= '9':
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-':
				digits = false
			default:
				return false
			}
		}
	}
	return !digits
}

func isIpv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

func isIpv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && a.Zone() == ""
}

func isURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs()
}

func isURIRef(s string) bool {
	_, err := url.Parse(s)
	return err == nil
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return false
		}
	}
	return true
}
