package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob/s3"
	"github.com/weir-stream/weir/internal/cli/table"
)

const (
	doctorTimeLimit = 3 * time.Minute
	doctorRequests  = 30 // of each kind and size, to measure
)

func newDoctorCommand(s *session) *cobra.Command {
	return newNoun("doctor", "Check what a cluster stands on",
		`Check whether the services that a cluster stands on do what it needs of them, and how fast they are. Nothing of the cluster's
data is touched.`,
		`  weir doctor blob --blob 's3://bucket/prefix?region=eu-central-1'`,
		newDoctorBlobCommand(s),
	)
}

type doctorBlobOptions struct {
	url      string
	requests int
}

func newDoctorBlobCommand(s *session) *cobra.Command {
	var o doctorBlobOptions
	cmd := &cobra.Command{
		Use:   "blob",
		Short: "Check an object store: conditional writes, ranges, listings, and its latency",
		Long: `Check whether an object store does what safety in a cluster rests on, as a broker does at its start: writes that are refused if
the key is taken, also when writers race and for uploads in parts, exact ranges, listings and reads that show what was written.
Then measure writes and reads of 64 KiB and 1 MiB, one at a time, also the opening of the object.

Objects are written below PREFIX/probe/ and removed. Keys come from the environment (AWS_ACCESS_KEY_ID, ...), AWS' files, a
credentials_file in the URL, or the role of the machine. The exit code is 1 if a check fails.`,
		Example: `  weir doctor blob --blob 's3://bucket/prefix?region=eu-central-1'
  weir doctor blob --blob 's3://weir?endpoint=http://127.0.0.1:9000&credentials_file=./keys' -o json`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.url == "" {
				o.url = s.env("WEIR_BLOB")
			}
			return s.doctorBlob(cmd.Context(), &o)
		},
	}
	s.addOutput(cmd)
	cmd.Flags().StringVar(&o.url, "blob", "", "`URL` of the object store, as the server's --blob has it (or WEIR_BLOB)")
	cmd.Flags().IntVar(&o.requests, "requests", doctorRequests, "how `many` writes and reads of each size are measured, 0 to 1000")
	return cmd
}

// blobDiagnosis is what is printed.
type blobDiagnosis struct {
	Store   string        `json:"store"`
	Fit     bool          `json:"fit"`
	Checks  []checkRow    `json:"checks"`
	Latency []latencyRow  `json:"latency"`
	took    time.Duration // of all
}

type checkRow struct {
	Check   string  `json:"check"`
	Result  string  `json:"result"` // ok or failed
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`
}

type latencyRow struct {
	Op         string  `json:"op"`
	Bytes      int     `json:"bytes"`
	Requests   int     `json:"requests"`
	P50Seconds float64 `json:"p50_seconds"`
	P99Seconds float64 `json:"p99_seconds"`
}

func (s *session) doctorBlob(ctx context.Context, o *doctorBlobOptions) error {
	if o.url == "" {
		return usageErrorf("name the object store: --blob 's3://BUCKET/PREFIX?region=REGION'")
	}
	if o.requests < 0 || o.requests > 1000 {
		return usageErrorf("--requests must be 0 to 1000")
	}
	options, err := s3.ParseURL(o.url)
	if err != nil {
		return usageErrorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeLimit)
	defer cancel()
	store, err := s3.Open(ctx, options)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // nothing was left unwritten
	begin := time.Now()
	report, unfit := s3.Probe(ctx, store)
	d := blobDiagnosis{Store: store.String(), Fit: unfit == nil, Latency: []latencyRow{}}
	for _, c := range report {
		row := checkRow{Check: c.Name, Result: "ok", Seconds: c.Took.Seconds()}
		if c.Err != nil {
			row.Result, row.Error = "failed", c.Err.Error()
		}
		d.Checks = append(d.Checks, row)
	}
	var measured error
	if unfit == nil && o.requests > 0 {
		var found []s3.Latency
		found, measured = s3.Measure(ctx, store, o.requests)
		for _, l := range found {
			d.Latency = append(d.Latency, latencyRow{l.Op, l.Bytes, l.Count, l.P50.Seconds(), l.P99.Seconds()})
		}
	}
	d.took = time.Since(begin)
	if unfit != nil {
		unfit = withFix(unfit, "%s", storeFix(app.Blob.Name(), unfit))
	}
	return errors.Join(s.printDocument(d, d.write), unfit, measured)
}

// write shows the diagnosis to people.
func (d *blobDiagnosis) write(w io.Writer, wide bool) error {
	checks := &table.Table{Columns: []table.Column{{Title: "CHECK"}, {Title: "RESULT"}, {Title: "MS", Right: true}}}
	for _, c := range d.Checks {
		checks.Add(c.Check, c.Result, millis(c.Seconds))
	}
	if err := checks.Write(w, wide); err != nil {
		return err
	}
	if len(d.Latency) > 0 {
		fmt.Fprintln(w)
		t := &table.Table{Columns: []table.Column{{Title: "OP"}, {Title: "BYTES", Right: true}, {Title: "REQUESTS", Right: true}, {Title: "P50 MS", Right: true}, {Title: "P99 MS", Right: true}}}
		for _, l := range d.Latency {
			t.Add(l.Op, strconv.Itoa(l.Bytes), strconv.Itoa(l.Requests), millis(l.P50Seconds), millis(l.P99Seconds))
		}
		if err := t.Write(w, wide); err != nil {
			return err
		}
	}
	if d.Fit {
		_, err := fmt.Fprintf(w, "\n%s is fit for a cluster. All checks took %s s.\n", d.Store, strconv.FormatFloat(d.took.Seconds(), 'f', 1, 64))
		return err
	}
	return nil
}

func millis(seconds float64) string { return strconv.FormatFloat(seconds*1000, 'f', 1, 64) }
