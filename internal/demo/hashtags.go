package demo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// postsBucket is the bucket of the line of posts over time.
const postsBucket = 24 * time.Hour

// hashtags counts posts, their languages and their hashtags, which are compared without case.
type hashtags struct {
	posts, tagged int64
	tags, langs   map[string]int64
	over          series
	recent        []taggedPost // the latest posts with hashtags, newest first
}

// taggedPost is a post with hashtags, as people wrote them.
type taggedPost struct {
	at   time.Time
	tags string
}

const recentPosts = 12

func newHashtags() *hashtags {
	return &hashtags{tags: map[string]int64{}, langs: map[string]int64{}}
}

func (m *hashtags) Add(value []byte) error {
	var p post
	if err := json.Unmarshal(value, &p); err != nil {
		return fmt.Errorf("count a post: %w", err)
	}
	m.posts++
	m.langs[p.Lang]++
	m.over.add(p.CreatedAt)
	if len(p.Hashtags) == 0 {
		return nil
	}
	m.tagged++
	for _, tag := range p.Hashtags {
		m.tags[strings.ToLower(tag)]++
	}
	// Partitions are read in any order: sorting makes equal totals equal pictures.
	m.recent = append(m.recent, taggedPost{p.CreatedAt.UTC(), "#" + strings.Join(p.Hashtags, " #")})
	slices.SortFunc(m.recent, func(a, b taggedPost) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.tags, b.tags)) })
	m.recent = m.recent[:min(len(m.recent), recentPosts)]
	return nil
}

func (m *hashtags) Picture(columns int) Picture {
	// The line shows the newest days; before there are enough of them it starts with the first.
	from := m.over.first.UTC().Truncate(postsBucket)
	if end := m.over.last.UTC().Truncate(postsBucket).Add(postsBucket); end.Sub(from) > time.Duration(columns)*postsBucket {
		from = end.Add(-time.Duration(columns) * postsBucket)
	}
	recent := make([]Row, 0, len(m.recent))
	for _, p := range m.recent {
		recent = append(recent, Row{Label: p.at.Format("01-02 15:04") + "  " + p.tags})
	}
	return Picture{
		Facts: []Fact{{m.posts, "posts"}, {m.tagged, "with hashtags"}, {int64(len(m.tags)), "different hashtags"}, {sum(m.tags), "uses"}},
		Line: Timeline{
			Title: "posts per day", Counts: m.over.buckets(from, postsBucket, columns), From: from, To: from.Add(time.Duration(columns-1) * postsBucket),
			Layout: "2006-01-02", Bucket: postsBucket,
		},
		Now: m.over.last,
		Panels: []Panel{
			{Title: "top hashtags", Bars: true, Tone: toneCool, Rows: top(ranked(m.tags), 40, func(s string) string { return "#" + s })},
			{Title: "languages", Bars: true, Tone: toneWarm, Rows: top(ranked(m.langs), 40, language)},
			{Title: "latest", Rows: recent},
		},
	}
}

// HashtagTotals is what the hashtags scenario counts.
type HashtagTotals struct {
	Posts        int64   `json:"posts"`
	WithHashtags int64   `json:"posts_with_hashtags"`
	Hashtags     int     `json:"hashtags"`
	Uses         int64   `json:"hashtag_uses"`
	From         string  `json:"from"`
	To           string  `json:"to"`
	TopHashtags  []Count `json:"top_hashtags"`
	Languages    []Count `json:"languages"`
}

func (m *hashtags) Totals() any {
	tags := ranked(m.tags)
	return HashtagTotals{
		Posts: m.posts, WithHashtags: m.tagged, Hashtags: len(m.tags), Uses: sum(m.tags),
		From: m.over.first.UTC().Format(time.RFC3339), To: m.over.last.UTC().Format(time.RFC3339),
		TopHashtags: tags[:min(20, len(tags))], Languages: ranked(m.langs),
	}
}

// languages names the codes that the data holds most; some are the service's own.
var languages = map[string]string{
	"en": "English", "es": "Spanish", "ja": "Japanese", "th": "Thai", "de": "German", "ca": "Catalan", "hi": "Hindi", "pt": "Portuguese", "tr": "Turkish",
	"fr": "French", "ar": "Arabic", "in": "Indonesian", "id": "Indonesian", "cy": "Welsh", "zh": "Chinese", "is": "Icelandic", "ko": "Korean", "it": "Italian",
	"nl": "Dutch", "ru": "Russian", "pl": "Polish", "sv": "Swedish", "et": "Estonian", "tl": "Tagalog", "und": "undetermined", "zxx": "no words",
	"qme": "only media", "qht": "only hashtags", "qam": "only mentions", "qst": "very short", "art": "artificial",
}

func language(code string) string {
	if name, ok := languages[code]; ok {
		return name
	}
	return code
}
