// Package recordformat writes records in the formats that users of kcat and rpk know, and reads them.
//
// The language is franz-go's, which rpk uses (%t topic, %k key, %v value, %K %V their lengths, %p partition, %o offset,
// %d time, %h{...} headers, modifiers such as %v{hex}, %k{base64}, %d{strftime[%F %T]}), with the verbs of kcat that it
// lacks or spells differently:
//
//	%s    the value, as %v              %S    its length, -1 for a null value
//	%T    the timestamp in ms           %R    its length as four bytes, big endian, -1 for null
//	%h    all headers as k=v,k=v (without braces)
//
// A layout that uses no verb would print the same line for every record: it is refused.
//
// A Writer numbers the records it writes (%i) and is used by one goroutine; NewReader's result likewise. Lengths that
// come from the input are bounded by the reader's limit.
package recordformat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Writer appends records in one layout.
type Writer struct {
	parts []func(dst []byte, p *kgo.FetchPartition, r *kgo.Record) []byte
}

// NewWriter reads a layout. Its errors name the part that is not understood.
func NewWriter(layout string) (*Writer, error) {
	w := &Writer{}
	pieces, err := split(layout)
	if err != nil {
		return nil, err
	}
	verbs := 0
	for _, piece := range pieces {
		if piece.verb != 0 {
			w.parts = append(w.parts, kcatVerbs[piece.verb])
			verbs++
			continue
		}
		f, err := kgo.NewRecordFormatter(piece.text)
		if err != nil {
			return nil, fmt.Errorf("format %q: %w", layout, err)
		}
		w.parts = append(w.parts, f.AppendPartitionRecord)
		verbs += piece.verbs
	}
	if verbs == 0 {
		return nil, fmt.Errorf("format %q has no verb: use for example '%%k %%v\\n' (%%k key, %%v value, %%t topic, %%p partition, %%o offset, %%d time, %%h headers)", layout)
	}
	return w, nil
}

// Append appends r, which was fetched with partition p, to dst.
func (w *Writer) Append(dst []byte, p *kgo.FetchPartition, r *kgo.Record) []byte {
	for _, part := range w.parts {
		dst = part(dst, p, r)
	}
	return dst
}

var kcatVerbs = map[byte]func(dst []byte, _ *kgo.FetchPartition, r *kgo.Record) []byte{
	's': func(dst []byte, _ *kgo.FetchPartition, r *kgo.Record) []byte { return append(dst, r.Value...) },
	'S': func(dst []byte, _ *kgo.FetchPartition, r *kgo.Record) []byte {
		return strconv.AppendInt(dst, int64(lengthOf(r.Value)), 10)
	},
	'R': func(dst []byte, _ *kgo.FetchPartition, r *kgo.Record) []byte {
		return binary.BigEndian.AppendUint32(dst, uint32(lengthOf(r.Value)))
	},
	'T': func(dst []byte, _ *kgo.FetchPartition, r *kgo.Record) []byte {
		return strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10)
	},
	'h': func(dst []byte, _ *kgo.FetchPartition, r *kgo.Record) []byte {
		for i, h := range r.Headers {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, h.Key...), '='), h.Value...)
		}
		return dst
	},
}

func lengthOf(b []byte) int32 {
	if b == nil {
		return -1
	}
	return int32(len(b))
}

// piece is a stretch of a layout: text for franz-go, or one verb of kcat's.
type piece struct {
	text  string
	verbs int // in text
	verb  byte
}

// split takes kcat's verbs out of a layout. Verbs inside braces belong to the verb before the braces.
func split(layout string) ([]piece, error) {
	var pieces []piece
	start, verbs := 0, 0
	flush := func(end int) {
		if end > start {
			pieces = append(pieces, piece{text: layout[start:end], verbs: verbs})
		}
		verbs = 0
	}
	for i := 0; i < len(layout); i++ {
		switch layout[i] {
		case '\\':
			i++
		case '{', '}':
			return nil, fmt.Errorf("format %q: a brace that follows no verb is written %%%c", layout, layout[i])
		case '%':
			if i+1 >= len(layout) {
				return nil, fmt.Errorf("format %q ends in a single %%: write %%%% for the sign itself", layout)
			}
			verb := layout[i+1]
			modified := i+2 < len(layout) && layout[i+2] == '{'
			if _, ours := kcatVerbs[verb]; ours && !modified {
				flush(i)
				pieces = append(pieces, piece{verb: verb})
				start, i = i+2, i+1
				continue
			}
			if !strings.ContainsRune("%{}", rune(verb)) {
				verbs++
			}
			i++
			if modified && !strings.ContainsRune("%{}", rune(verb)) {
				end, err := closingBrace(layout, i+1)
				if err != nil {
					return nil, err
				}
				i = end
			}
		}
	}
	flush(len(layout))
	return pieces, nil
}

// closingBrace returns the index of the brace that closes the one at open. Braces inside square brackets and escaped
// braces (%{, %}) do not count.
func closingBrace(layout string, open int) (int, error) {
	depth, brackets := 0, 0
	for i := open; i < len(layout); i++ {
		switch c := layout[i]; {
		case c == '[':
			brackets++
		case c == ']':
			brackets = max(0, brackets-1)
		case brackets > 0:
		case c == '%' && i+1 < len(layout) && (layout[i+1] == '{' || layout[i+1] == '}' || layout[i+1] == '%'):
			i++
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("format %q: the brace at %d is not closed", layout, open)
}

// errNoValueVerb tells a reader's layout apart from one that could never fill a record.
var errNoValueVerb = errors.New("nothing to read: use for example '%v\\n', '%k:%v\\n', '%V{4}%v' or '%v{json}'")
