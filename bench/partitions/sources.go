package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// sizes are counts and bytes by the first part of a key.
type sizes map[string]struct{ count, bytes int64 }

func (s sizes) add(key string, bytes int64) {
	part, _, _ := strings.Cut(key, "/")
	had := s[part]
	had.count++
	had.bytes += bytes
	s[part] = had
}

func (s sizes) sum() (bytes int64) {
	for _, x := range s {
		bytes += x.bytes
	}
	return bytes
}

const maxAnswer = 64 << 20

// metadataOf asks etcd's JSON gateway for all that brokers keep there; what the keys guard transactions with is left out, as it goes with its session.
func metadataOf(ctx context.Context, url string) (sizes, error) {
	const prefix = "weir/k/"
	found := sizes{}
	start := []byte(prefix)
	for {
		body, err := json.Marshal(map[string]any{"key": start, "range_end": []byte("weir/k0"), "limit": 1000})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v3/kv/range", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return nil, err
		}
		var page struct {
			Kvs  []struct{ Key, Value string }
			More bool
		}
		if err := json.Unmarshal(text, &page); err != nil || res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("etcd: status %d: %w", res.StatusCode, err)
		}
		for _, kv := range page.Kvs {
			key, err := base64.StdEncoding.DecodeString(kv.Key)
			if err != nil {
				return nil, err
			}
			found.add(strings.TrimPrefix(string(key), prefix), int64(len(key)-len(prefix)+base64.StdEncoding.DecodedLen(len(kv.Value))-strings.Count(kv.Value, "=")))
			start = append(key, 0)
		}
		if !page.More {
			return found, nil
		}
	}
}

// objectsOf sums up the files of the bucket.
func objectsOf(root string) (sizes, error) {
	found := sizes{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found.add(filepath.ToSlash(name), info.Size())
		return nil
	})
	return found, err
}

// metrics are sums over brokers, by name, and for requests by name and operation.
type metrics map[string]float64

var sample = regexp.MustCompile(`^(weir_[a-z_]+|process_resident_memory_bytes)(?:\{(.*)\})? (\S+)$`)

var operation = regexp.MustCompile(`op="([a-z_]+)"`)

func metricsOf(ctx context.Context, runFiles []string) (metrics, error) {
	sum := metrics{}
	for _, name := range runFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var at struct{ Addresses struct{ Admin string } }
		if err := json.Unmarshal(text, &at); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.Addresses.Admin+"/metrics", http.NoBody)
		if err != nil {
			return nil, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(io.LimitReader(res.Body, maxAnswer))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			sum.read(lines.Text())
		}
		if err := errors.Join(lines.Err(), res.Body.Close()); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

func (m metrics) read(line string) {
	s := sample.FindStringSubmatch(line)
	if s == nil {
		return
	}
	v, err := strconv.ParseFloat(s[3], 64)
	if err != nil {
		return
	}
	name := s[1]
	if op := operation.FindStringSubmatch(s[2]); op != nil {
		name += " " + op[1]
	}
	m[name] += v
}
