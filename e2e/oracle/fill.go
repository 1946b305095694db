package oracle

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// TopicID is Kafka's topic id.
type TopicID = [16]byte

// unknownID is a topic id that no server gave out.
var unknownID = TopicID{0xde, 0xad, 0xbe, 0xef, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}

// filler turns the text of a script into the fields of a request.
type filler struct {
	suffix  string         // what "~" becomes: names of a conversation's own
	version int16          // what "$v" becomes
	saved   map[string]any // values of earlier answers
	topicID func(name string) (TopicID, bool)
}

// fill sets v, a field or a whole request, from the script. A field that kmsg does not know is an error.
func (f *filler) fill(v reflect.Value, node *yaml.Node) error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch {
	case v.Kind() == reflect.Pointer:
		if isNull(node) {
			v.SetZero()
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		setDefaults(v)
		return f.fill(v.Elem(), node)
	case v.Type() == reflect.TypeFor[TopicID]():
		return f.fillTopicID(v, node)
	case v.Type() == reflect.TypeFor[[]byte]():
		return f.fillBytes(v, node)
	case v.Kind() == reflect.Struct:
		return f.fillStruct(v, node)
	case v.Kind() == reflect.Slice:
		return f.fillSlice(v, node)
	}
	return f.fillScalar(v, node)
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// setDefaults gives a kmsg struct the defaults of the protocol.
func setDefaults(pointer reflect.Value) {
	if d, ok := pointer.Interface().(interface{ Default() }); ok {
		d.Default()
	}
}

func (f *filler) fillStruct(v reflect.Value, node *yaml.Node) error {
	if isNull(node) {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: want fields of %s", node.Line, v.Type().Name())
	}
	for i := 0; i < len(node.Content); i += 2 {
		name := node.Content[i].Value
		field := v.FieldByName(name)
		if !field.IsValid() {
			return fmt.Errorf("line %d: %s has no field %s", node.Line, v.Type().Name(), name)
		}
		if err := f.fill(field, node.Content[i+1]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (f *filler) fillSlice(v reflect.Value, node *yaml.Node) error {
	if isNull(node) {
		v.SetZero()
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		return fmt.Errorf("line %d: want a list", node.Line)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content)))
	for i, element := range node.Content {
		setDefaults(v.Index(i).Addr())
		if err := f.fill(v.Index(i), element); err != nil {
			return err
		}
	}
	return nil
}

// fillTopicID knows "zero", "unknown", "id(NAME)" and a saved value.
func (f *filler) fillTopicID(v reflect.Value, node *yaml.Node) error {
	text := f.expand(node.Value)
	switch {
	case text == "zero":
		v.SetZero()
	case text == "unknown":
		v.Set(reflect.ValueOf(unknownID))
	case strings.HasPrefix(text, "id(") && strings.HasSuffix(text, ")"):
		id, ok := f.topicID(text[3 : len(text)-1])
		if !ok {
			return fmt.Errorf("line %d: no topic %s was seen before", node.Line, text)
		}
		v.Set(reflect.ValueOf(id))
	default:
		return fmt.Errorf("line %d: %q is no topic id", node.Line, text)
	}
	return nil
}

// fillBytes knows null, a text, "hex(...)", and record batches as a list of what is in them.
func (f *filler) fillBytes(v reflect.Value, node *yaml.Node) error {
	switch {
	case isNull(node):
		v.SetZero()
		return nil
	case node.Kind == yaml.SequenceNode:
		var batches []batchSpec
		if err := node.Decode(&batches); err != nil {
			return err
		}
		bytes, err := f.encodeBatches(batches)
		if err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		v.SetBytes(bytes)
		return nil
	}
	text := f.expand(node.Value)
	if digits, ok := strings.CutPrefix(text, "hex("); ok {
		bytes, err := hex.DecodeString(strings.TrimSuffix(digits, ")"))
		if err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		v.SetBytes(bytes)
		return nil
	}
	v.SetBytes([]byte(text))
	return nil
}

func (f *filler) fillScalar(v reflect.Value, node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: want one value", node.Line)
	}
	if v.Kind() == reflect.String {
		v.SetString(f.expand(node.Value))
		return nil
	}
	text := f.expand(node.Value)
	switch v.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return err
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := sum(text, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		v.SetInt(n)
		return nil
	case reflect.Uint16: // a port
		n, err := strconv.ParseUint(text, 10, 16)
		v.SetUint(n)
		return err
	}
	return fmt.Errorf("line %d: a script cannot set a %s", node.Line, v.Type())
}

var addition = regexp.MustCompile(`^(-?\d+)\+(-?\d+)$`)

// sum reads a number or "a+b", so that scripts can say "$generation+1".
func sum(text string, bits int) (int64, error) {
	if m := addition.FindStringSubmatch(text); m != nil {
		a, err := strconv.ParseInt(m[1], 10, bits)
		if err != nil {
			return 0, err
		}
		b, err := strconv.ParseInt(m[2], 10, bits)
		return a + b, err
	}
	return strconv.ParseInt(text, 10, bits)
}

var (
	variable   = regexp.MustCompile(`\$[a-z][a-z0-9]*`)
	repetition = regexp.MustCompile(`repeat\((.+?), ?(\d+)\)`)
)

// expand replaces "~" by the conversation's suffix, "$v" by the version, "$name" by what was saved under the name, and
// "repeat(x, n)" by n times x.
func (f *filler) expand(text string) string {
	text = strings.ReplaceAll(text, "~", f.suffix)
	text = variable.ReplaceAllStringFunc(text, func(name string) string {
		if name == "$v" {
			return strconv.Itoa(int(f.version))
		}
		if value, ok := f.saved[name[1:]]; ok {
			return fmt.Sprint(value)
		}
		return name
	})
	return repetition.ReplaceAllStringFunc(text, func(call string) string {
		m := repetition.FindStringSubmatch(call)
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return call
		}
		return strings.Repeat(m[1], n)
	})
}
