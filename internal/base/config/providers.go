package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/base/properties"
)

// What values may refer to. Nothing at all, unless these name it.
var (
	ProviderPaths = List("config.providers.allowed.paths", nil, Unique,
		"Directories whose files values may refer to, as ${file:/path:key} (a key of a properties file) or ${dir:/path:name} (the text of a file). References are resolved at start, in what file, environment and command line hold, never in what clients send.")
	ProviderEnv = List("config.providers.allowed.env", nil, Unique,
		"Beginnings of the names of environment variables that values may refer to as ${env:NAME}.")
)

// maxReferenceBytes bounds what a reference may stand for; it fits a chain of certificates.
const maxReferenceBytes = 1 << 20

// providers resolve references in the values of one Load.
type providers struct {
	paths, env []string
	lookup     func(string) (string, bool)
}

// newProviders reads what is allowed from what was given itself; there, references mean nothing.
func newProviders(all []given) *providers {
	strongest := func(k Key[[]string]) []string {
		var list []string
		var from Origin
		for _, g := range all {
			if g.name == k.Name() && g.entry.Origin >= from {
				if v, err := k.setting.Parse(g.entry.Text); err == nil {
					list, _ = v.([]string)
					from = g.entry.Origin
				}
			}
		}
		return list
	}
	return &providers{paths: strongest(ProviderPaths), env: strongest(ProviderEnv), lookup: os.LookupEnv}
}

// resolve replaces each ${provider:…} in text. Other uses of $ stay as they are. An error never tells what a file holds.
func (p *providers) resolve(text string) (string, error) {
	var out strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		out.WriteString(before)
		if !ok {
			return out.String(), nil
		}
		ref, after, ok := strings.Cut(rest, "}")
		kind, _, _ := strings.Cut(ref, ":")
		if !ok || !slices.Contains([]string{"file", "dir", "env"}, kind) {
			out.WriteString("${")
			text = rest
			continue
		}
		value, err := p.value(ref)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", ref, err)
		}
		out.WriteString(value) // what it holds is not looked at again
		text = after
	}
}

func (p *providers) value(ref string) (string, error) {
	kind, rest, _ := strings.Cut(ref, ":")
	if kind == "env" {
		if !slices.ContainsFunc(p.env, func(prefix string) bool { return prefix != "" && strings.HasPrefix(rest, prefix) }) {
			return "", fmt.Errorf("%s does not allow this variable", ProviderEnv.Name())
		}
		value, ok := p.lookup(rest)
		if !ok {
			return "", errors.New("there is no such variable")
		}
		return value, nil
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 {
		return "", errors.New("want a path, a colon and a key")
	}
	path, key := rest[:i], rest[i+1:]
	if kind == "dir" {
		if key == "" || key != filepath.Base(key) || key == ".." {
			return "", errors.New("want the name of a file in the directory")
		}
		b, err := p.read(filepath.Join(path, key))
		return strings.TrimRight(string(b), "\r\n"), err
	}
	b, err := p.read(path)
	if err != nil {
		return "", err
	}
	all, err := properties.Parse(strings.NewReader(string(b)))
	if err != nil {
		return "", err
	}
	value, ok := all[key]
	if !ok {
		return "", errors.New("the file has no such key")
	}
	return value, nil
}

// read reads a file that lies in an allowed directory once all links are followed.
func (p *providers) read(path string) ([]byte, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("want an absolute path")
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, cmp.Or(errors.Unwrap(err), err)
	}
	if !slices.ContainsFunc(p.paths, func(dir string) bool { return within(dir, real) }) {
		return nil, fmt.Errorf("%s does not allow this file", ProviderPaths.Name())
	}
	f, err := os.Open(real)
	if err != nil {
		return nil, cmp.Or(errors.Unwrap(err), err)
	}
	defer f.Close() //nolint:errcheck // only read from
	b, err := io.ReadAll(io.LimitReader(f, maxReferenceBytes+1))
	if err == nil && len(b) > maxReferenceBytes {
		err = fmt.Errorf("larger than %d bytes", maxReferenceBytes)
	}
	return b, err
}

func within(dir, path string) bool {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil || !filepath.IsAbs(dir) {
		return false
	}
	rel, err := filepath.Rel(real, path)
	return err == nil && filepath.IsLocal(rel)
}
