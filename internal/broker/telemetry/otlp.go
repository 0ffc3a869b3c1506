package telemetry

import (
	"errors"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// What is read of OTLP's MetricsData, by the numbers of opentelemetry-proto's metrics.proto. A message is walked where it
// lies, so that a push costs no more than its points, however it is made.
//
//	MetricsData      1 ResourceMetrics*
//	ResourceMetrics  2 ScopeMetrics*
//	ScopeMetrics     2 Metric*
//	Metric           1 name · 5 gauge · 7 sum · 9 histogram
//	Gauge, Sum, Histogram   1 points* · 2 temporality
//	NumberDataPoint         4 double · 6 integer · 7 attributes*
//	HistogramDataPoint      4 count · 5 sum · 9 attributes*
//	KeyValue                1 key · 2 AnyValue: 1 text · 2 bool · 3 integer · 4 double

// kind is what a point means for the one before it.
type kind uint8

const (
	gauge kind = iota
	counter
)

// point is one number of a push.
type point struct {
	name       string // of the metric, as the client calls it
	attributes []attribute
	kind       kind
	delta      bool // to be added
	value      float64
}

type attribute struct{ key, value string }

// Bounds of texts, and of attributes of a point. Longer texts are cut.
const (
	maxNameBytes  = 200
	maxTextBytes  = 200
	maxAttributes = 16
)

var errMetrics = errors.New("not metrics of OTLP")

// deltaTemporality is AGGREGATION_TEMPORALITY_DELTA.
const deltaTemporality = 1

// decodeMetrics reads at most limit points; those beyond it are left out.
func decodeMetrics(b []byte, limit int) ([]point, error) {
	d := &decoder{limit: limit}
	err := d.each(b, func(field protowire.Number, resource []byte, _ uint64) error {
		if field != 1 {
			return nil
		}
		return d.each(resource, func(field protowire.Number, scope []byte, _ uint64) error {
			if field != 2 {
				return nil
			}
			return d.each(scope, func(field protowire.Number, metric []byte, _ uint64) error {
				if field != 2 {
					return nil
				}
				return d.metric(metric)
			})
		})
	})
	return d.points, err
}

type decoder struct {
	points []point
	limit  int
}

// each calls f for every field of a message: with its bytes if it has a length, else with its number.
func (d *decoder) each(b []byte, f func(field protowire.Number, bytes []byte, number uint64) error) error {
	for len(b) > 0 {
		field, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMetrics
		}
		b = b[n:]
		var bytes []byte
		var number uint64
		switch wire {
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var short uint32
			short, n = protowire.ConsumeFixed32(b)
			number = uint64(short)
		default: // groups are of a time before OTLP
			return errMetrics
		}
		if n < 0 {
			return errMetrics
		}
		b = b[n:]
		if err := f(field, bytes, number); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) metric(b []byte) error {
	var name string
	var data []byte
	var of protowire.Number
	err := d.each(b, func(field protowire.Number, bytes []byte, _ uint64) error {
		switch field {
		case 1:
			name = short(bytes, maxNameBytes)
		case 5, 7, 9:
			data, of = bytes, field
		}
		return nil
	})
	if err != nil || name == "" || of == 0 {
		return err
	}
	k := gauge
	if of != 5 {
		k = counter
	}
	delta := false
	var points [][]byte
	err = d.each(data, func(field protowire.Number, bytes []byte, number uint64) error {
		switch {
		case field == 1 && len(points) < d.limit-len(d.points):
			points = append(points, bytes)
		case field == 2:
			delta = number == deltaTemporality
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range points {
		if err := d.point(point{name: name, kind: k, delta: delta}, p, of == 9); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) point(p point, b []byte, histogram bool) error {
	sum, count := 0.0, 0.0
	attributes := protowire.Number(7)
	if histogram {
		attributes = 9
	}
	err := d.each(b, func(field protowire.Number, bytes []byte, number uint64) error {
		switch {
		case field == attributes:
			if len(p.attributes) < maxAttributes {
				a, err := d.attribute(bytes)
				p.attributes = append(p.attributes, a)
				return err
			}
		case histogram && field == 4:
			count = float64(number)
		case histogram && field == 5:
			sum = math.Float64frombits(number)
		case field == 4:
			p.value = math.Float64frombits(number)
		case field == 6:
			p.value = float64(int64(number)) //nolint:gosec // an sfixed64
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !histogram {
		d.points = append(d.points, p)
		return nil
	}
	both := [2]point{p, p}
	both[0].name, both[0].value = p.name+".count", count
	both[1].name, both[1].value = p.name+".sum", sum
	d.points = append(d.points, both[:]...)
	return nil
}

func (d *decoder) attribute(b []byte) (a attribute, err error) {
	var value []byte
	err = d.each(b, func(field protowire.Number, bytes []byte, _ uint64) error {
		switch field {
		case 1:
			a.key = short(bytes, maxNameBytes)
		case 2:
			value = bytes
		}
		return nil
	})
	if err != nil {
		return a, err
	}
	return a, d.each(value, func(field protowire.Number, bytes []byte, number uint64) error {
		switch field {
		case 1:
			a.value = short(bytes, maxTextBytes)
		case 2:
			a.value = strconv.FormatBool(number != 0)
		case 3:
			a.value = strconv.FormatInt(int64(number), 10) //nolint:gosec // an int64
		case 4:
			a.value = strconv.FormatFloat(math.Float64frombits(number), 'g', -1, 64)
		}
		return nil
	})
}

func short(b []byte, most int) string { return string(b[:min(len(b), most)]) }
