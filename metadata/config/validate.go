package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// validator says what is wrong with a value, nil when nothing is. It sees the value in the form that Kafka's parser
// gives it: numbers without blanks, lists by their items.
type validator func(d *Definition, value string) error

// InvalidValueError is a value that a setting cannot have; its text is what Kafka says.
type InvalidValueError struct{ Message string }

func (e *InvalidValueError) Error() string { return e.Message }

func invalid(d *Definition, value, reason string) error {
	message := "Invalid value " + value + " for configuration " + d.Name
	if reason != "" {
		message += ": " + reason
	}
	return &InvalidValueError{message}
}

// Check says what is wrong with a value for the setting, nil when nothing is.
func (d *Definition) Check(value string) error {
	parsed, err := d.parse(value)
	if err != nil || d.valid == nil {
		return err
	}
	return d.valid(d, parsed)
}

// parse brings a value into the form that it is compared and shown in.
func (d *Definition) parse(value string) (string, error) {
	trimmed := strings.TrimSpace(value)
	var err error
	switch d.Type {
	case Boolean:
		if lower := strings.ToLower(trimmed); lower == "true" || lower == "false" {
			return lower, nil
		}
		return "", invalid(d, value, "Expected value to be either true or false")
	case Int:
		_, err = strconv.ParseInt(trimmed, 10, 32)
	case Short:
		_, err = strconv.ParseInt(trimmed, 10, 16)
	case Long:
		_, err = strconv.ParseInt(trimmed, 10, 64)
	case Double:
		if number, err := strconv.ParseFloat(trimmed, 64); err == nil && !math.IsNaN(number) {
			return formatDouble(number), nil
		}
		return "", invalid(d, value, "Not a number of type "+d.Type.String())
	case List:
		return strings.Join(splitList(value), ","), nil
	case Password:
		return value, nil
	case String, Class:
		return trimmed, nil
	}
	if err != nil {
		return "", invalid(d, value, "Not a number of type "+d.Type.String())
	}
	return trimmed, nil
}

// formatDouble writes a double as Java does as long as it is of ordinary size.
func formatDouble(number float64) string {
	s := strconv.FormatFloat(number, 'f', -1, 64)
	if abs := math.Abs(number); abs >= 1e7 {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(number, 'E', -1, 64), "E+")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return mantissa + "E" + strings.TrimPrefix(exponent, "0")
	}
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// String returns Kafka's name of the type.
func (t Type) String() string {
	names := [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"}
	if t < 0 || int(t) >= len(names) {
		return names[0]
	}
	return names[t]
}

// splitList returns the items of a list; an empty text is the empty list.
func splitList(value string) []string {
	trimmed := strings.TrimSpace(value)
	if trimmed == "" {
		return nil
	}
	items := strings.Split(trimmed, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

func atLeast(min float64) validator { return between(min, math.MaxFloat64) }

func between(min, max float64) validator {
	return func(d *Definition, value string) error {
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return invalid(d, value, "Not a number of type "+d.Type.String())
		}
		switch {
		case number < min:
			return invalid(d, value, "Value must be at least "+strconv.FormatFloat(min, 'f', -1, 64))
		case number > max:
			return invalid(d, value, "Value must be no more than "+strconv.FormatFloat(max, 'f', -1, 64))
		}
		return nil
	}
}

func gzipLevel(d *Definition, value string) error {
	if level, err := strconv.Atoi(value); err != nil || level != -1 && (level < 1 || level > 9) {
		return invalid(d, value, "Value must be between 1 and 9 or equal to -1")
	}
	return nil
}

func oneOf(values ...string) validator {
	return func(d *Definition, value string) error {
		if !slices.Contains(values, value) {
			return invalid(d, value, "String must be one of: "+strings.Join(values, ", "))
		}
		return nil
	}
}

func anyCase(values ...string) validator {
	return func(d *Definition, value string) error {
		if !slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, value) }) {
			return invalid(d, value, "String must be one of (case insensitive): "+strings.Join(values, ", "))
		}
		return nil
	}
}

func listOf(values ...string) validator {
	member := oneOf(values...)
	return func(d *Definition, value string) error {
		items := splitList(value)
		for i, item := range items {
			if slices.Contains(items[:i], item) {
				return &InvalidValueError{fmt.Sprintf("Configuration '%s' values must not be duplicated.", d.Name)}
			}
		}
		for _, item := range items {
			if err := member(d, item); err != nil {
				return err
			}
		}
		return nil
	}
}

func nonEmpty(d *Definition, value string) error {
	if value == "" {
		return invalid(d, value, "String must be non-empty")
	}
	return nil
}

func throttledReplicas(d *Definition, value string) error {
	items := splitList(value)
	if len(items) == 1 && items[0] == "*" {
		return nil
	}
	for _, item := range items {
		partition, broker, ok := strings.Cut(item, ":")
		if !ok || !digits(partition) || !digits(broker) {
			return invalid(d, javaSet(items), d.Name+" must be the literal '*' or a list of replicas in the following format: "+
				"[partitionId]:[brokerId],[partitionId]:[brokerId],...")
		}
	}
	return nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// offsetReset accepts earliest, latest and by_duration: with an ISO 8601 duration that is not negative.
func offsetReset(d *Definition, value string) error {
	if duration, ok := strings.CutPrefix(strings.ToLower(value), "by_duration:"); ok && isDuration(strings.ToUpper(duration)) {
		return nil
	}
	if lower := strings.ToLower(value); lower == "earliest" || lower == "latest" {
		return nil
	}
	return invalid(d, value, "Invalid value `"+value+"` for configuration "+d.Name+
		". The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.")
}

func isDuration(s string) bool {
	pattern := regexp.MustCompile(`^P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d{1,9})?S)?)?$`)
	return pattern.MatchString(s) && s != "P" && !strings.HasSuffix(s, "T")
}
