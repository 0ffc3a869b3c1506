// Command store has three things to say about the object store below a cluster.
//
//	store load -endpoint URL -bucket B        how much an S3 server takes and gives, without a broker
//	store delay LISTEN SERVER                 stands before an S3 server on this machine and answers as late as one far away
//	store calculate                           the latency of acknowledgements that follows from such answers, by the rules of the flush governor
//
// load signs with minio-go's signer and writes as a broker does: objects of a frame's size, several at a time, If-None-Match, and a CRC-32C in
// a header, or with -checksum sha256 the hash in the signature. Keys are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
//
// delay and calculate share one distribution: log-normal, with the -p50 and -p99 of a PUT; all other requests take a quarter of that.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "store:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("want load, delay or calculate")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	var d distribution
	flags.DurationVar(&d.p50, "p50", 80*time.Millisecond, "median of a PUT")
	flags.DurationVar(&d.p99, "p99", 300*time.Millisecond, "99th percentile of a PUT")
	switch args[0] {
	case "load":
		l := loader{}
		l.flags(flags)
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return l.run(ctx)
	case "delay":
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return delay(ctx, flags.Arg(0), flags.Arg(1), d)
	case "calculate":
		g := governor{distribution: &d}
		g.flags(flags)
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		g.print(os.Stdout)
		return nil
	}
	return fmt.Errorf("no command %q", args[0])
}

// distribution is log-normal.
type distribution struct{ p50, p99 time.Duration }

// sample takes a standard normal variate.
func (d distribution) sample(r *rand.Rand) time.Duration {
	const z99 = 2.3263 // standard deviations from the median to the 99th percentile
	sigma := math.Log(float64(d.p99)/float64(d.p50)) / z99
	return time.Duration(float64(d.p50) * math.Exp(sigma*r.NormFloat64()))
}
