package table

import (
	"strings"
	"testing"
)

func sample() *Table {
	t := &Table{Columns: []Column{{Title: "NAME"}, {Title: "PARTITIONS", Right: true}, {Title: "ID", Wide: true}, {Title: "NOTE"}}}
	t.Add("orders", "6", "x1", "")
	t.Add("原神", "12", "x2", "wide\nname")
	return t
}

func TestTableAlignsColumnsByCells(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := sample().Write(&b, false); err != nil {
		t.Fatal(err)
	}
	want := "NAME    PARTITIONS  NOTE\n" +
		"orders           6\n" +
		"原神            12  wide␊name\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestWideShowsEveryColumn(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := sample().Write(&b, true); err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(b.String(), "\n"); first != "NAME    PARTITIONS  ID  NOTE" {
		t.Errorf("titles are %q", first)
	}
}

func TestTableWithoutColumnsPrintsNothing(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := (&Table{}).Write(&b, true); err != nil || b.Len() != 0 {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
