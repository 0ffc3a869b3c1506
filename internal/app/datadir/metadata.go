package datadir

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"strconv"
	"strings"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/seal"
	"github.com/weir-stream/weir/internal/base/secret"
	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

// MetaEntry is a key of the metadata store.
type MetaEntry struct {
	Key      string
	Revision int64
	Raw      []byte
	// Kind says what the key is: topic, configs, cluster id, producer ids, shards, incarnation, incarnations, shard, acl
	// or encryption keys.
	Kind string
	// Value is the decoded value, of a type that encoding/json writes; nil if Problem is not.
	Value   any
	Problem error
}

// Topic is the value of a topic's key.
type Topic struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	CreatedAt  time.Time         `json:"created_at"`
	Partitions int32             `json:"partitions"`
	FirstShard int32             `json:"first_shard"`
	Shards     int32             `json:"shards"`
	Configs    map[string]string `json:"configs,omitempty"`
}

// Configs is the value of a resource's configs.
type Configs struct {
	Resource string            `json:"resource"`
	Name     string            `json:"name"`
	Configs  map[string]string `json:"configs"`
}

// ACL is the value of an access control entry's key.
type ACL struct {
	Permission string `json:"permission"`
	Principal  string `json:"principal"`
	Host       string `json:"host"`
	Operation  string `json:"operation"`
	Resource   string `json:"resource"`
	Pattern    string `json:"pattern"`
	Name       string `json:"name"`
}

// Pointer is what a shard's key says of its state.
type Pointer struct {
	Epoch      int32  `json:"epoch"`
	Owner      uint64 `json:"owner"`
	Version    uint64 `json:"version"`
	Manifest   string `json:"manifest,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"`
	Replay     int64  `json:"replay"`
	History    []struct {
		Epoch       int32  `json:"epoch"`
		Incarnation uint64 `json:"incarnation"`
	} `json:"history"`
}

// Incarnation is one life of a broker. Sealed is the first frame that is not part of the log, -1 while it is open.
type Incarnation struct {
	Number uint64 `json:"number"`
	Broker int32  `json:"broker"`
	Start  int64  `json:"start"`
	Sealed int64  `json:"sealed"`
}

// brokerConfigs is the kind of resource of a broker's settings.
const brokerConfigs = "broker"

// readMetadata opens a copy of the metadata store and decodes what it holds. The ring is nil where nothing is encrypted.
func (d *Dir) readMetadata(ctx context.Context, keeper seal.Keeper) (ring *seal.Ring, err error) {
	mem := pebblevfs.NewMem()
	found, err := pebblevfs.Clone(pebblevfs.Default, mem, d.metaDir(), "meta")
	if err != nil {
		return nil, fmt.Errorf("read metadata in %s: %w", d.metaDir(), err)
	}
	if !found {
		return nil, fmt.Errorf("there is no metadata in %s", d.metaDir())
	}
	store, err := meta.OpenPebble("meta", meta.PebbleOptions{FS: mem})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := store.Get(ctx, seal.RingKey); !errors.Is(err, meta.ErrNotFound) {
		if ring, err = seal.OpenRing(ctx, store, keeper, nil); err != nil {
			return nil, err
		}
	}
	entries, err := store.Range(ctx, "", "", 0)
	if err != nil {
		return nil, fmt.Errorf("read metadata in %s: %w", d.metaDir(), err)
	}
	for _, e := range entries {
		m := MetaEntry{Key: e.Key, Revision: e.Revision}
		if m.Raw, m.Problem = ring.OpenValue(e.Key, e.Value); m.Problem == nil {
			if kind, value, ok, err := auth.DescribeStored(e.Key, m.Raw); ok {
				m.Kind, m.Value, m.Problem, m.Raw = kind, value, err, nil
			} else {
				m.Kind, m.Value, m.Problem = d.decode(e.Key, m.Raw)
			}
		}
		if m.Problem != nil {
			m.Value = nil
			if strings.HasPrefix(e.Key, "c/"+brokerConfigs) {
				m.Raw = nil // a secret may be in what cannot be decoded, too
			}
		}
		d.Metadata = append(d.Metadata, m)
	}
	return ring, nil
}

// decode decodes a value by its key, and keeps what the rest of the directory is read with.
func (d *Dir) decode(key string, value []byte) (kind string, decoded any, err error) {
	prefix, rest, _ := strings.Cut(key, "/")
	switch {
	case key == "shards":
		if len(value) != 4 {
			return "shards", nil, fmt.Errorf("%d bytes, not 4", len(value))
		}
		return "shards", binary.BigEndian.Uint32(value), nil
	case key == seal.RingKey:
		r, err := seal.DescribeRing(value)
		return "encryption keys", r, err
	case key == "ids/cluster":
		r := unseal(value)
		d.cluster = r.id()
		return "cluster id", kafka.TopicID(d.cluster).String(), r.end()
	case key == "ids/pid":
		r := unseal(value)
		return "producer ids", r.uvarint(), r.end()
	case auth.IsBindingKey(key):
		b, err := auth.DecodeBinding(value)
		return "acl", ACL{
			Permission: b.Permission.String(), Principal: b.Principal, Host: b.Host, Operation: b.Operation.String(),
			Resource: b.Type.String(), Pattern: b.Pattern.String(), Name: b.Name,
		}, err
	case key == "ids/incarnation":
		if len(value) != 8 {
			return "incarnations", nil, fmt.Errorf("%d bytes, not 8", len(value))
		}
		return "incarnations", binary.BigEndian.Uint64(value), nil
	case prefix == "t":
		t, id, err := decodeTopic(rest, value)
		if err == nil {
			d.names[id] = t.Name
		}
		return "topic", t, err
	case prefix == "c":
		c, err := decodeConfigs(rest, value)
		d.hide(&c)
		return "configs", c, err
	case prefix == "inc":
		i, err := decodeIncarnation(rest, value)
		if err == nil && i.Sealed >= 0 {
			d.sealed[i.Number] = uint64(i.Sealed)
		}
		return "incarnation", i, err
	case prefix == "s":
		shard, p, err := decodePointer(rest, value)
		if err == nil {
			d.Pointers[shard] = p
		}
		return "shard", p, err
	}
	return "unknown", base64.StdEncoding.EncodeToString(value), nil
}

func decodeTopic(name string, value []byte) (Topic, [16]byte, error) {
	r := unseal(value)
	id := r.id()
	t := Topic{Name: name, ID: kafka.TopicID(id).String(), CreatedAt: time.UnixMilli(r.varint()).UTC()}
	t.Partitions, t.FirstShard, t.Shards = int32(r.uvarint()), int32(r.uvarint()), int32(r.uvarint())
	t.Configs = r.configs()
	return t, id, r.end()
}

func decodeConfigs(path string, value []byte) (Configs, error) {
	kind, name, _ := strings.Cut(path, "/")
	if plain, err := url.PathUnescape(name); err == nil {
		name = plain
	}
	r := unseal(value)
	return Configs{Resource: kind, Name: name, Configs: r.configs()}, r.end()
}

// hide takes values that may be secret out of the configs of brokers.
func (d *Dir) hide(c *Configs) {
	if c.Resource != brokerConfigs {
		return
	}
	for name := range c.Configs {
		if d.shown == nil || !d.shown(name) {
			c.Configs[name] = secret.Hidden
		}
	}
}

// errFormat refuses a JSON value of another version.
func errFormat(version int) error { return fmt.Errorf("format %d, this version reads 1", version) }

func decodeIncarnation(number string, value []byte) (Incarnation, error) {
	var in struct {
		Format int `json:"v"`
		Incarnation
	}
	if err := json.Unmarshal(value, &in); err != nil {
		return Incarnation{}, err
	}
	if in.Format != 1 {
		return Incarnation{}, errFormat(in.Format)
	}
	n, err := strconv.ParseUint(number, 16, 64)
	in.Number = n
	return in.Incarnation, err
}

func decodePointer(shard string, value []byte) (int32, Pointer, error) {
	var in struct {
		Format     int    `json:"v"`
		Epoch      int32  `json:"epoch"`
		Owner      uint64 `json:"owner"`
		Version    uint64 `json:"version"`
		Manifest   string `json:"manifest"`
		Checkpoint string `json:"checkpoint"`
		Replay     int64  `json:"replay"`
		History    []struct {
			Epoch       int32  `json:"epoch"`
			Incarnation uint64 `json:"inc"`
		} `json:"history"`
	}
	if err := json.Unmarshal(value, &in); err != nil {
		return 0, Pointer{}, err
	}
	if in.Format != 1 {
		return 0, Pointer{}, errFormat(in.Format)
	}
	n, err := strconv.ParseInt(shard, 10, 32)
	p := Pointer{Epoch: in.Epoch, Owner: in.Owner, Version: in.Version, Manifest: in.Manifest, Checkpoint: in.Checkpoint, Replay: in.Replay}
	for _, h := range in.History {
		p.History = append(p.History, struct {
			Epoch       int32  `json:"epoch"`
			Incarnation uint64 `json:"incarnation"`
		}(h))
	}
	return int32(n), p, err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealedReader takes the body of a sealed value apart. After the first mistake everything reads as zero, and end tells it.
type sealedReader struct {
	b   []byte
	err error
}

// unseal checks version and checksum: version 1 B = 1, CRC-32C of the rest 4 B little endian, body.
func unseal(value []byte) *sealedReader {
	switch {
	case len(value) < 5:
		return &sealedReader{err: fmt.Errorf("%d bytes are too few", len(value))}
	case value[0] != 1:
		return &sealedReader{err: fmt.Errorf("version %d, this program reads 1", value[0])}
	}
	if got, want := crc32.Checksum(value[5:], castagnoli), binary.LittleEndian.Uint32(value[1:]); got != want {
		return &sealedReader{err: fmt.Errorf("checksum is %08x, the value says %08x", got, want)}
	}
	return &sealedReader{b: value[5:]}
}

var errShort = errors.New("cut short")

func (r *sealedReader) take(n uint64) []byte {
	if r.err == nil && n > uint64(len(r.b)) {
		r.err = errShort
	}
	if r.err != nil {
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *sealedReader) id() (id [16]byte) {
	copy(id[:], r.take(16))
	return id
}

func (r *sealedReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.err == nil && n <= 0 {
		r.err = errShort
	}
	if r.err != nil {
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *sealedReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.err == nil && n <= 0 {
		r.err = errShort
	}
	if r.err != nil {
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *sealedReader) configs() map[string]string {
	n := r.uvarint()
	if r.err == nil && n > uint64(len(r.b))/2 { // a pair takes two bytes at least
		r.err = errShort
	}
	if r.err != nil || n == 0 {
		return nil
	}
	out := make(map[string]string, n)
	for range n {
		name := string(r.take(r.uvarint()))
		out[name] = string(r.take(r.uvarint()))
	}
	return out
}

func (r *sealedReader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes are left over", len(r.b))
	}
	return r.err
}
