package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/blob"
)

const (
	pageKeys   = 1000
	maxListed  = 20_000_000 // in one answer of List; a store that lists more is not ours
	maxEmpties = 100        // pages without a key in a row
	// maxObjectBytes bounds what is believed of sizes; S3's limit is 50 TiB.
	maxObjectBytes = 1 << 46
)

// page is the answer to ListObjectsV2.
type page struct {
	IsTruncated           bool
	NextContinuationToken string
	Contents              []struct {
		Key  string
		Size int64
	}
}

// List implements blob.Store. Each page is asked for by the key before it, so that one call sees a key at most once and
// comes to an end whatever the service answers. Objects under names that blob.CheckKey refuses are somebody else's and left
// out.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := s.list(ctx, prefix, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	return found, nil
}

func (s *Store) list(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	if !canStartKey(prefix) {
		return nil, nil
	}
	var found []blob.Info
	last, token, empties := after, "", 0
	for {
		ask := pageKeys
		if limit > 0 {
			ask = min(ask, limit-len(found))
		}
		p, err := s.page(ctx, prefix, last, token, ask)
		if err != nil {
			return nil, err
		}
		for _, c := range p.Contents {
			key, err := s.listedKey(c.Key, prefix, last, c.Size)
			if err != nil {
				return nil, err
			}
			last = key
			if blob.CheckKey(key) == nil {
				found = append(found, blob.Info{Key: key, Size: c.Size})
			}
		}
		token = ""
		switch {
		case !p.IsTruncated || limit > 0 && len(found) >= limit:
			return found, nil
		case len(found) > maxListed:
			return nil, fmt.Errorf("more than %d objects", maxListed)
		case len(p.Contents) > 0:
			empties = 0
			continue
		}
		// A page without keys that is not the last: the service has looked at as much as it does for one request.
		token = p.NextContinuationToken
		if empties++; token == "" || empties > maxEmpties {
			return nil, errors.New("the listing does not get on: pages without keys that are not the last")
		}
	}
}

// page asks for one page, until it gets it.
func (s *Store) page(ctx context.Context, prefix, after, token string, keys int) (*page, error) {
	query := url.Values{"list-type": {"2"}, "max-keys": {strconv.Itoa(keys)}}
	if p := s.keyPrefix + prefix; p != "" {
		query.Set("prefix", p)
	}
	if after != "" {
		query.Set("start-after", s.keyPrefix+after)
	}
	if token != "" {
		query.Set("continuation-token", token)
	}
	var p *page
	err := s.retry(ctx, opList, func() error {
		r, err := s.exchange(ctx, request{op: opList, method: http.MethodGet, query: query})
		if err != nil {
			return err
		}
		p, err = parsePage(r.body)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(p.Contents) > keys {
		return nil, fmt.Errorf("%d keys in a page of at most %d", len(p.Contents), keys)
	}
	return p, nil
}

func parsePage(body []byte) (*page, error) {
	var p struct {
		XMLName xml.Name `xml:"ListBucketResult"`
		page
	}
	if err := xml.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("%w: listing: %w", errAnswer, err)
	}
	return &p.page, nil
}

// listedKey checks a key that was listed after last and takes the store's prefix off it.
func (s *Store) listedKey(full, prefix, last string, size int64) (string, error) {
	key, ok := strings.CutPrefix(full, s.keyPrefix)
	switch {
	case !ok || !strings.HasPrefix(key, prefix):
		return "", fmt.Errorf("key %q was listed, which does not start with what was asked for", clip(full))
	case key <= last && last != "":
		return "", fmt.Errorf("key %q was listed after %q: the service does not sort, or not start where it was told", clip(full), clip(last))
	case len(full) > blob.MaxKeyBytes:
		return "", fmt.Errorf("a key of %d bytes was listed", len(full))
	case size < 0 || size > maxObjectBytes:
		return "", fmt.Errorf("key %q was listed with a size of %d bytes", clip(full), size)
	}
	return key, nil
}

// canStartKey reports whether a key of ours can start with prefix. Others are not asked for: some services take them for
// paths of files.
func canStartKey(prefix string) bool {
	return prefix == "" || blob.CheckKey(strings.TrimSuffix(prefix, "/")) == nil
}
