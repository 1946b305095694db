package config

import (
	"slices"
	"strconv"
)

// Effective is the settings of one resource as they apply. It is immutable. A name that the catalogue does not hold is a
// fault of the program.
type Effective struct {
	catalogue *Catalogue
	own       map[string]string // set on the topic or group itself
	ownSource Source            // 0: a broker
	layers    [3]layer          // of the broker, the first that sets a name counting
	onlySet   bool
}

type layer struct {
	source Source
	values map[string]string
}

// Synonym is one place that gives a setting a value.
type Synonym struct {
	Name   string
	Value  *string // nil: sensitive
	Source Source
}

// Entry is one setting as DescribeConfigs shows it.
type Entry struct {
	*Definition
	Value    *string // nil: null or sensitive
	Source   Source
	ReadOnly bool
	Synonyms []Synonym
}

// Value returns the value of a setting; false when it is null.
func (e Effective) Value(name string) (string, bool) {
	d := e.catalogue.Get(name)
	if d == nil {
		panic("BUG: no setting is named " + name)
	}
	if e.ownSource == 0 {
		value, _, ok := e.brokerValue(name)
		return normal(d, value, ok)
	}
	if value, ok := e.own[name]; ok {
		return normal(d, value, true)
	}
	for _, synonym := range d.Synonyms {
		if value, _, ok := e.brokerValue(synonym); ok {
			return normal(d, converted(value, millisPerUnit(synonym)), true)
		}
	}
	return d.Default, !d.NoDefault
}

// normal brings a stored value into the form it is shown in. What was stored had been checked; a value that an older
// release accepted and this one does not gives way to the default.
func normal(d *Definition, value string, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	parsed, err := d.parse(value)
	if err != nil {
		return d.Default, !d.NoDefault
	}
	return parsed, true
}

// brokerValue returns the broker's value of one name and where it comes from; false when it is null.
func (e *Effective) brokerValue(name string) (string, Source, bool) {
	for i := range e.layers {
		if value, ok := e.layers[i].values[name]; ok {
			return value, e.layers[i].source, true
		}
	}
	if d := Broker().Get(name); d != nil && !d.NoDefault {
		return d.Default, SourceDefault, true
	}
	return "", SourceDefault, false
}

// converted multiplies a time that is longer than one millisecond a unit; a negative one stands for no limit.
func converted(value string, factor int64) string {
	if factor == 1 {
		return value
	}
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		return value
	case n < 0:
		return "-1"
	case n > (1<<63-1)/factor:
		return strconv.FormatInt(1<<63-1, 10)
	}
	return strconv.FormatInt(n*factor, 10)
}

// String returns the value of a setting, "" when it is null.
func (e Effective) String(name string) string { v, _ := e.Value(name); return v }

// Int64 returns the value of a numeric setting, 0 when it is null.
func (e Effective) Int64(name string) int64 {
	n, _ := strconv.ParseInt(e.String(name), 10, 64)
	return n
}

// Int32 returns the value of a numeric setting, 0 when it is null.
func (e Effective) Int32(name string) int32 { return int32(e.Int64(name)) }

// Float64 returns the value of a double, 0 when it is null.
func (e Effective) Float64(name string) float64 {
	n, _ := strconv.ParseFloat(e.String(name), 64)
	return n
}

// Bool returns the value of a boolean setting.
func (e Effective) Bool(name string) bool { return e.String(name) == "true" }

// List returns the value of a list.
func (e Effective) List(name string) []string { return splitList(e.String(name)) }

// Source says where the value comes from, as DescribeConfigs shows it: the first synonym's, else Kafka's default.
func (e Effective) Source(name string) Source {
	if synonyms := e.Synonyms(name); len(synonyms) > 0 {
		return synonyms[0].Source
	}
	return SourceDefault
}

// Synonyms returns the places that give the setting a value, in the order of precedence. Like Kafka it leaves out all of
// them when the only ones are other names of the broker's setting (retention.ms by log.retention.hours).
func (e Effective) Synonyms(name string) []Synonym {
	d := e.catalogue.Get(name)
	if d == nil {
		return nil
	}
	var found []Synonym
	if value, ok := e.own[name]; ok {
		value, _ = normal(d, value, true)
		found = append(found, synonym(d, name, value, e.ownSource))
	}
	switch {
	case e.ownSource == 0:
		return e.brokerPlaces(name)
	case len(d.Synonyms) > 0:
		return append(found, e.brokerPlaces(d.Synonyms[0])...)
	case e.ownSource == SourceGroup && !d.NoDefault:
		return append(found, synonym(d, name, d.Default, SourceDefault)) // so does Kafka for groups, but not for topics
	}
	return found
}

func synonym(d *Definition, name, value string, source Source) Synonym {
	if d.Sensitive() {
		return Synonym{Name: name, Source: source}
	}
	return Synonym{Name: name, Value: &value, Source: source}
}

// brokerPlaces returns the places that set a broker's setting or one of its other names, from the first that sets the
// setting itself on.
func (e *Effective) brokerPlaces(name string) []Synonym {
	var found []Synonym
	names := brokerSynonyms(name)
	for _, l := range e.layers {
		for _, n := range names {
			if value, ok := l.values[n]; ok {
				found = append(found, synonym(Broker().Get(n), n, value, l.source))
			}
		}
	}
	for _, n := range names {
		if d := Broker().Get(n); !d.NoDefault && !e.onlySet {
			found = append(found, synonym(d, n, d.Default, SourceDefault))
		}
	}
	first := slices.IndexFunc(found, func(s Synonym) bool { return s.Name == name })
	if first < 0 {
		return nil
	}
	return found[first:]
}

// Entry returns one setting as DescribeConfigs shows it; false when there is no such setting.
func (e Effective) Entry(name string) (Entry, bool) {
	d := e.catalogue.Get(name)
	if d == nil {
		return Entry{}, false
	}
	entry := Entry{Definition: d, Synonyms: e.Synonyms(name), Source: SourceDefault}
	if len(entry.Synonyms) > 0 {
		entry.Source = entry.Synonyms[0].Source
	}
	if value, ok := e.Value(name); ok && !d.Sensitive() {
		entry.Value = &value
	}
	if e.ownSource == 0 {
		entry.ReadOnly = !slices.ContainsFunc(brokerSynonyms(name), func(n string) bool { return Broker().Get(n).Mode != ReadOnly })
	}
	return entry, true
}

// Entries returns all settings as DescribeConfigs shows them, by name. Internal ones are left out unless they are set.
func (e Effective) Entries() []Entry {
	entries := make([]Entry, 0, e.catalogue.Len())
	for d := range e.catalogue.All() {
		if entry, _ := e.Entry(d.Name); !e.hidden(entry) {
			entries = append(entries, entry)
		}
	}
	return entries
}

func (e *Effective) hidden(entry Entry) bool {
	return (e.onlySet || entry.Internal) && entry.Source == SourceDefault
}
