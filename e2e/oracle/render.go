package oracle

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Line is one field of an answer: where it stands and what it says. Fields at their protocol default have no line.
type Line struct {
	Path  string
	Value string
}

// renderer writes answers in a form in which two servers can be compared. What a server may choose freely becomes a
// name that says which choice it was: the first producer id a conversation sees is pid#1 on both.
type renderer struct {
	session *Session
	keep    string
	names   map[string]string // free choice -> its name
	counts  map[string]int    // kind of choice -> names given
	lines   []Line
}

// render returns the lines of an answer, in the order of its fields.
func (r *renderer) render(response kmsg.Response, keep string) []Line {
	r.lines, r.keep = nil, keep
	v := reflect.ValueOf(response)
	r.structure("", v.Elem(), defaultsOf(v.Elem().Type()))
	return r.lines
}

func defaultsOf(t reflect.Type) reflect.Value {
	p := reflect.New(t)
	setDefaults(p)
	return p.Elem()
}

func (r *renderer) structure(path string, v, defaults reflect.Value) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Name == "Version" && path == "" || field.Name == "UnknownTags" || strings.HasPrefix(field.Name, "Throttle") {
			continue
		}
		r.field(join(path, field.Name), field.Name, v.Field(i), defaults.Field(i))
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (r *renderer) field(path, name string, v, defaults reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[[]byte]():
		r.bytes(path, name, v)
	case v.Kind() == reflect.Slice:
		r.list(path, v)
	case v.Kind() == reflect.Struct:
		r.structure(path, v, defaults)
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct:
		if !v.IsNil() {
			r.structure(path, v.Elem(), defaultsOf(v.Type().Elem()))
		}
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			r.add(path, r.leaf(path, name, v.Elem()))
		}
	default:
		if !reflect.DeepEqual(v.Interface(), defaults.Interface()) {
			r.add(path, r.leaf(path, name, v))
		}
	}
}

func (r *renderer) add(path, value string) { r.lines = append(r.lines, Line{path, value}) }

func (r *renderer) bytes(path, name string, v reflect.Value) {
	b := v.Bytes()
	switch {
	case b == nil:
	case name == "RecordBatches":
		for i, line := range describeBatches(b, r.producerID, r.clock) {
			r.add(fmt.Sprintf("%s[%d]", path, i), line)
		}
	default:
		r.add(path, quoteBytes(b))
	}
}

// list writes elements under what identifies them, sorted by it: Kafka's order comes from hash tables in most answers.
// Where order is part of the protocol it is a line of its own.
func (r *renderer) list(path string, v reflect.Value) {
	if _, tasks := v.Interface().([]kmsg.TaskIDs); tasks && !v.IsNil() && v.Len() == 0 {
		r.add(path, "none") // null says that nothing has changed
		return
	}
	if v.IsNil() || v.Len() == 0 {
		return
	}
	if v.Type().Elem().Kind() != reflect.Struct {
		r.add(path, r.scalars(path, v))
		return
	}
	if keys, ok := v.Interface().([]kmsg.ApiVersionsResponseApiKey); ok {
		r.apiKeys(path, keys)
		return
	}
	type element struct {
		identity string
		value    reflect.Value
	}
	elements := make([]element, 0, v.Len())
	for i := range v.Len() {
		identity := r.identity(v.Index(i))
		if r.keep != "" && hasName(v.Index(i)) && !strings.Contains(identity, r.keep) {
			continue
		}
		elements = append(elements, element{identity, v.Index(i)})
	}
	if r.session.ordered() && len(elements) > 1 {
		order := make([]string, len(elements))
		for i, e := range elements {
			order[i] = e.identity
		}
		r.add(path+" order", strings.Join(order, " "))
	}
	slices.SortStableFunc(elements, func(a, b element) int { return strings.Compare(a.identity, b.identity) })
	defaults := defaultsOf(v.Type().Elem())
	seen := map[string]int{}
	for _, e := range elements {
		seen[e.identity]++
		if n := seen[e.identity]; n > 1 {
			e.identity += "#" + strconv.Itoa(n)
		}
		before := len(r.lines)
		r.structure(path+"["+e.identity+"]", e.value, defaults)
		if len(r.lines) == before {
			r.add(path+"["+e.identity+"]", "present")
		}
	}
}

// naming lists fields that tell the elements of a list apart, the more telling first.
var naming = []string{"Topic", "Name", "ResourceName", "Group", "GroupID", "ConfigName", "Listener", "Dir", "MemberID", "SubtopologyID", "Key", "CoordinatorKey"}
var numbering = []string{"ResourceType", "Partition", "NodeID", "ReplicaID", "BrokerID", "ApiKey", "ProducerID", "BatchIndex"}

// apiKeys writes an API a line, as the range of its versions.
func (r *renderer) apiKeys(path string, keys []kmsg.ApiVersionsResponseApiKey) {
	keys = slices.SortedFunc(slices.Values(keys), func(a, b kmsg.ApiVersionsResponseApiKey) int { return int(a.ApiKey) - int(b.ApiKey) })
	for _, key := range keys {
		r.add(fmt.Sprintf("%s[%d %s]", path, key.ApiKey, kmsg.NameForKey(key.ApiKey)), fmt.Sprintf("%d-%d", key.MinVersion, key.MaxVersion))
	}
}

// hasName says whether the elements of a list are topics, groups or resources, of which a script may keep its own.
func hasName(v reflect.Value) bool {
	if v.Type() == reflect.TypeFor[kmsg.ListConfigResourcesResponseConfigResource]() {
		return true
	}
	return slices.ContainsFunc([]string{"Topic", "Group", "ResourceName"}, func(name string) bool { return v.FieldByName(name).IsValid() })
}

func (r *renderer) identity(v reflect.Value) string {
	var parts []string
	if id := v.FieldByName("TopicID"); id.IsValid() && !id.IsZero() && !hasFilledName(v) {
		parts = append(parts, r.leaf("", "TopicID", id))
	}
	for _, name := range slices.Concat(naming, numbering) {
		f := v.FieldByName(name)
		if !f.IsValid() {
			continue
		}
		if f.Kind() == reflect.Pointer {
			if f.IsNil() {
				continue
			}
			f = f.Elem()
		}
		if f.Kind() == reflect.String && f.Len() == 0 && len(parts) > 0 || f.Kind() == reflect.Slice {
			continue
		}
		parts = append(parts, r.leaf("", name, f))
	}
	return strings.Join(parts, "/")
}

func hasFilledName(v reflect.Value) bool {
	f := v.FieldByName("Topic")
	return f.IsValid() && !f.IsZero()
}

func (r *renderer) scalars(path string, v reflect.Value) string {
	parts := make([]string, v.Len())
	for i := range v.Len() {
		parts[i] = r.leaf(path, "", v.Index(i))
	}
	return strings.Join(parts, " ")
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// leaf writes one value. name is the field's; the path tells fields of one name apart.
func (r *renderer) leaf(path, name string, v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return r.text(name, v.String())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Array:
		return r.topicID(v.Interface())
	}
	n := integer(v)
	switch {
	case strings.HasSuffix(name, "ErrorCode"):
		return errorText(int16(n))
	case name == "ProducerID":
		return r.producerID(n)
	case name == "SessionID" && n != 0:
		return r.nameFor("session", strconv.FormatInt(n, 10))
	case name == "Port" && strconv.FormatInt(n, 10) == r.session.target.port():
		return "PORT"
	case name == "Port" && n > 0:
		return "another port"
	case r.freelyCounted(name) && n > 0:
		return "some"
	case strings.Contains(name, "Time") && v.Kind() == reflect.Int64:
		return r.clock(n)
	}
	return strconv.FormatInt(n, 10)
}

// freelyCounted says whether a field counts what is a server's own affair: disks, and entries of its metadata log.
func (r *renderer) freelyCounted(name string) bool {
	const describeQuorum = 55
	switch name {
	case "TotalBytes", "UsableBytes", "FinalizedFeaturesEpoch":
		return true
	case "HighWatermark", "LogEndOffset", "LeaderEpoch":
		return r.session.current.Key == describeQuorum
	}
	return false
}

func integer(v reflect.Value) int64 {
	if v.CanUint() {
		return int64(v.Uint())
	}
	return v.Int()
}

func errorText(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if e := kerr.TypedErrorForCode(code); e != nil {
		return e.Message
	}
	return strconv.Itoa(int(code))
}

func (r *renderer) text(name, text string) string {
	switch {
	case name == "Dir" && text != "":
		return "LOGDIR"
	case name == "ClusterID" && text == r.session.target.clusterID:
		return "CLUSTER"
	case name == "Documentation" && text != "":
		return "some text"
	}
	text = strings.ReplaceAll(text, r.session.suffix, "~")
	if r.session.target.clusterID != "" {
		text = strings.ReplaceAll(text, r.session.target.clusterID, "CLUSTER")
	}
	text = loopback.ReplaceAllString(text, "HOST:PORT")
	if r.session.target.DataDir != "" {
		text = strings.ReplaceAll(text, r.session.target.DataDir, "LOGDIR")
	}
	for id, topic := range r.session.topicNames {
		text = strings.ReplaceAll(text, idText(id), "id("+strings.ReplaceAll(topic, r.session.suffix, "~")+")")
	}
	text = uuid.ReplaceAllStringFunc(text, func(id string) string { return r.nameFor("uuid", id) })
	text = longNumber.ReplaceAllStringFunc(text, clockInText)
	if len(text) > 400 {
		text = fmt.Sprintf("%s... %d bytes", text[:300], len(text))
	}
	if text == "" {
		return `""`
	}
	return text
}

var longNumber = regexp.MustCompile(`-?\b\d{13,19}\b`)

var loopback = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// clockInText shows a time within two hours of now, and such a time less the largest number there is.
func clockInText(number string) string {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return number
	}
	for what, base := range map[string]int64{"about now": 0, "now less forever": math.MaxInt64} {
		if d := time.Since(time.UnixMilli(n + base)).Abs(); d < 2*time.Hour && (base == 0 || n < 0) {
			return what
		}
	}
	return number
}

// nameFor numbers the free choices of a server in the order in which a conversation sees them.
func (r *renderer) nameFor(kind, choice string) string {
	key := kind + " " + choice
	if r.names[key] == "" {
		r.counts[kind]++
		r.names[key] = fmt.Sprintf("%s#%d", kind, r.counts[kind])
	}
	return r.names[key]
}

func (r *renderer) producerID(n int64) string {
	if n < 0 || r.session.sentProducerIDs[n] {
		return strconv.FormatInt(n, 10)
	}
	return r.nameFor("pid", strconv.FormatInt(n, 10))
}

// clock shows what a server read from its clock as "now", and everything else as the number it is.
func (r *renderer) clock(millis int64) string {
	if d := time.Since(time.UnixMilli(millis)); d > -time.Minute && d < 30*time.Minute {
		return "now"
	}
	return strconv.FormatInt(millis, 10)
}

func (r *renderer) topicID(value any) string {
	id, ok := value.(TopicID)
	switch {
	case !ok:
		return fmt.Sprint(value)
	case id == TopicID{}:
		return "zero"
	case id == unknownID:
		return "unknown"
	}
	if name, ok := r.session.topicNames[id]; ok {
		return "id(" + strings.ReplaceAll(name, r.session.suffix, "~") + ")"
	}
	return r.nameFor("id", idText(id))
}
