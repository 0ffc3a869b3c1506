package protobuf

import (
	"embed"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/genproto/googleapis/type/calendarperiod"
	"google.golang.org/genproto/googleapis/type/color"
	"google.golang.org/genproto/googleapis/type/date"
	"google.golang.org/genproto/googleapis/type/datetime"
	"google.golang.org/genproto/googleapis/type/dayofweek"
	"google.golang.org/genproto/googleapis/type/decimal"
	"google.golang.org/genproto/googleapis/type/expr"
	"google.golang.org/genproto/googleapis/type/fraction"
	"google.golang.org/genproto/googleapis/type/interval"
	"google.golang.org/genproto/googleapis/type/latlng"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/genproto/googleapis/type/month"
	"google.golang.org/genproto/googleapis/type/phone_number"
	"google.golang.org/genproto/googleapis/type/postaladdress"
	"google.golang.org/genproto/googleapis/type/quaternion"
	"google.golang.org/genproto/googleapis/type/timeofday"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

//go:embed builtin
var builtinTexts embed.FS

// builtinText returns the text of a file of ours, that of Confluent's types and annotations.
func builtinText(path string) (string, bool) {
	if !strings.HasPrefix(path, "confluent/") {
		return "", false
	}
	b, err := builtinTexts.ReadFile("builtin/" + path)
	return string(b), err == nil
}

// builtinFile returns Google's file of that path.
func builtinFile(path string) (protoreflect.FileDescriptor, bool) {
	switch {
	case strings.HasPrefix(path, "google/protobuf/"):
		none := protocompile.ResolverFunc(func(string) (protocompile.SearchResult, error) {
			return protocompile.SearchResult{}, protoregistry.NotFound
		})
		found, err := protocompile.WithStandardImports(none).FindFileByPath(path)
		return found.Desc, err == nil && found.Desc != nil
	case strings.HasPrefix(path, "google/type/"):
		for _, f := range []protoreflect.FileDescriptor{
			calendarperiod.File_google_type_calendar_period_proto, color.File_google_type_color_proto, date.File_google_type_date_proto,
			datetime.File_google_type_datetime_proto, dayofweek.File_google_type_dayofweek_proto, decimal.File_google_type_decimal_proto,
			expr.File_google_type_expr_proto, fraction.File_google_type_fraction_proto, interval.File_google_type_interval_proto,
			latlng.File_google_type_latlng_proto, money.File_google_type_money_proto, month.File_google_type_month_proto,
			phone_number.File_google_type_phone_number_proto, postaladdress.File_google_type_postal_address_proto,
			quaternion.File_google_type_quaternion_proto, timeofday.File_google_type_timeofday_proto,
		} {
			if f.Path() == path {
				return f, true
			}
		}
	}
	return nil, false
}
