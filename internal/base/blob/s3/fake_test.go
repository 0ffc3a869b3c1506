package s3

import (
	"cmp"
	"crypto/md5" //nolint:gosec // What S3 makes ETags of.
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 is the part of S3 that a Store uses, in memory, and goes wrong on demand.
type fakeS3 struct {
	*httptest.Server

	// intercept, if not nil, sees each request first, with its operation and how many of that there have been, from 1. It
	// returns true if it has answered. It may call next to have the request done.
	intercept func(w http.ResponseWriter, r *http.Request, op string, n int, next http.HandlerFunc) bool
	noMeta    bool // metadata of users is dropped
	blind     bool // conditions are not looked at
	careless  bool // checksums are not looked at

	mu      sync.Mutex
	objects map[string]fakeObject
	uploads map[string]*fakeUpload
	seen    map[string]int
	hosts   map[string]int
	ids     int
}

type fakeObject struct {
	body []byte
	etag string
	meta string
}

type fakeUpload struct {
	key   string
	meta  string
	parts map[int][]byte
	sums  bool // it was begun with a CRC-32C, so each part has to have one
}

func newFake(t *testing.T) *fakeS3 {
	t.Helper()
	f := &fakeS3{objects: map[string]fakeObject{}, uploads: map[string]*fakeUpload{}, seen: map[string]int{}, hosts: map[string]int{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Server.Close)
	return f
}

// open returns a store on the fake, with its bucket in the path.
func (f *fakeS3) open(t *testing.T, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{Bucket: "bucket", Prefix: "some/prefix", Endpoint: f.URL, Region: "us-east-1", PathStyle: true, RetryFor: 5 * time.Second, CredentialsFile: keysFile(t, "access")}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func keysFile(t *testing.T, access string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "credentials")
	writeKeys(t, name, access)
	return name
}

func writeKeys(t *testing.T, name, access string) {
	t.Helper()
	if err := os.WriteFile(name, []byte("[default]\naws_access_key_id="+access+"\naws_secret_access_key=secret\n"), 0o600); err != nil {
		t.Error(err)
	}
}

// requests returns how many requests of an operation came.
func (f *fakeS3) requests(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[op]
}

// stored returns the keys in the bucket.
func (f *fakeS3) stored() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.objects))
}

func (f *fakeS3) openUploads() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.uploads)
}

// put stores an object behind the store's back.
func (f *fakeS3) put(key, body, nonce string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[key] = fakeObject{[]byte(body), etagOf([]byte(body)), nonce}
}

func etagOf(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // As above.
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func operation(r *http.Request, key string) string {
	q := r.URL.Query()
	switch {
	case key == "":
		return opList
	case r.Method == http.MethodPost && q.Has("uploads"):
		return opInitiate
	case r.Method == http.MethodPost:
		return opComplete
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return opPart
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return opAbort
	}
	return map[string]string{http.MethodPut: opPut, http.MethodGet: opGet, http.MethodHead: opHead, http.MethodDelete: opDelete}[r.Method]
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/bucket"), "/")
	op := operation(r, key)
	f.mu.Lock()
	f.seen[op]++
	n := f.seen[op]
	f.hosts[r.Host]++
	f.mu.Unlock()
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=") {
		refuse(w, http.StatusForbidden, "AccessDenied")
		return
	}
	next := func(w http.ResponseWriter, r *http.Request) { f.do(w, r, op, key) }
	if f.intercept != nil && f.intercept(w, r, op, n, next) {
		return
	}
	next(w, r)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>because</Message></Error>", code)
}

// hangUp closes the connection under the request.
func hangUp(w http.ResponseWriter) {
	if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = c.Close()
	}
}

func (f *fakeS3) do(w http.ResponseWriter, r *http.Request, op, key string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o, found := f.objects[key]
	if !f.blind {
		if m := r.Header.Get("If-Match"); m != "" && found && m != o.etag || found && r.Header.Get("If-None-Match") == "*" {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
	}
	if sum := r.Header.Get(crcHeader); sum != "" && sum != crcOf(body) && !f.careless {
		refuse(w, http.StatusBadRequest, "BadDigest")
		return
	}
	if sum := sha256.Sum256(body); r.Header.Get(crcHeader) == "" && r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) {
		refuse(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
		return
	}
	meta := r.Header.Get(nonceHeader)
	if f.noMeta {
		meta = ""
	}
	switch op {
	case opList:
		f.list(w, r)
	case opPut:
		f.objects[key] = fakeObject{body, etagOf(body), meta}
	case opGet, opHead:
		if !found {
			refuse(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		if o.meta != "" {
			w.Header().Set(nonceHeader, o.meta)
		}
		w.Header().Set("Etag", o.etag)
		serveRange(w, r, o.body)
	case opDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case opInitiate:
		f.ids++
		id := strconv.Itoa(f.ids)
		f.uploads[id] = &fakeUpload{key, meta, map[int][]byte{}, r.Header.Get(algorithmHeader) == algorithmCRC}
		_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	default:
		f.upload(w, r, op, body)
	}
}

// upload does what is done with an upload that has begun.
func (f *fakeS3) upload(w http.ResponseWriter, r *http.Request, op string, body []byte) {
	id := r.URL.Query().Get("uploadId")
	u, ok := f.uploads[id]
	if !ok {
		refuse(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	switch op {
	case opPart:
		number, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
		u.parts[number] = body
		w.Header().Set("Etag", etagOf(body))
	case opAbort:
		delete(f.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case opComplete:
		var list struct {
			Part []struct {
				PartNumber     int
				ETag           string
				ChecksumCRC32C string
			}
		}
		if err := xml.Unmarshal(body, &list); err != nil {
			refuse(w, http.StatusBadRequest, "MalformedXML")
			return
		}
		var whole []byte
		for i, p := range list.Part {
			if p.PartNumber != i+1 || p.ETag != etagOf(u.parts[p.PartNumber]) {
				refuse(w, http.StatusBadRequest, "InvalidPart")
				return
			}
			if u.sums && p.ChecksumCRC32C != crcOf(u.parts[p.PartNumber]) {
				refuse(w, http.StatusBadRequest, "InvalidRequest")
				return
			}
			whole = append(whole, u.parts[p.PartNumber]...)
		}
		delete(f.uploads, id)
		f.objects[u.key] = fakeObject{whole, etagOf(whole) + "-n", u.meta}
		_, _ = io.WriteString(w, "<CompleteMultipartUploadResult/>")
	}
}

func serveRange(w http.ResponseWriter, r *http.Request, body []byte) {
	var from, to int
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n != 2 {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(body)
		}
		return
	}
	if from >= len(body) {
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
		return
	}
	to = min(to, len(body)-1)
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(body)))
	w.Header().Set("Content-Length", strconv.Itoa(to-from+1))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(body[from : to+1])
}

func (f *fakeS3) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("max-keys"))
	var out strings.Builder
	n, truncated := 0, false
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || cmp.Compare(key, q.Get("start-after")) <= 0 && q.Get("start-after") != "" {
			continue
		}
		if n == limit {
			truncated = true
			break
		}
		n++
		fmt.Fprintf(&out, "<Contents><Key>%s</Key><Size>%d</Size></Contents>", key, len(f.objects[key].body))
	}
	_, _ = fmt.Fprintf(w, "<ListBucketResult><IsTruncated>%t</IsTruncated>%s</ListBucketResult>", truncated, out.String())
}
