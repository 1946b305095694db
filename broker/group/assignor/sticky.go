package assignor

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
)

// Task is a piece of a Streams application's work: a partition of one of its subtopologies.
type Task struct {
	Subtopology string
	Partition   int32
}

// Compare orders tasks by subtopology and partition.
func (t Task) Compare(other Task) int {
	return cmp.Or(strings.Compare(t.Subtopology, other.Subtopology), cmp.Compare(t.Partition, other.Partition))
}

// byPartition orders tasks so that those which read the same partitions stand together.
func byPartition(a, b Task) int {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), strings.Compare(a.Subtopology, b.Subtopology))
}

// Streamer is a member of a streams group; Active and Standby are what it was given before.
type Streamer struct {
	ID, Process     string
	Active, Standby []Task
}

// Subtopology is how many tasks a part of an application has. One that is stateful has standby tasks, too.
type Subtopology struct {
	ID       string
	Tasks    int32
	Stateful bool
}

// StreamerTasks are what one member is given, sorted.
type StreamerTasks struct{ Active, Standby []Task }

// Sticky gives each task to one member of a streams group, and as many standby tasks of those with state as are asked for to
// members of other processes. Who had a task keeps it while that is fair; what is left goes to the process with the least
// to do for its threads. Where Kafka's StickyTaskAssignor leaves it to a hash who of equals is first, it is the order of
// ids here.
func Sticky(members []Streamer, subtopologies []Subtopology, standbys int) map[string]StreamerTasks {
	s := newSticky(members, subtopologies, standbys)
	s.assignActive(tasksOf(subtopologies, false))
	if standbys > 0 {
		s.assignStandby(tasksOf(subtopologies, true), standbys)
	}
	result := make(map[string]StreamerTasks, len(members))
	for _, m := range s.members {
		slices.SortFunc(m.active, Task.Compare)
		slices.SortFunc(m.standby, Task.Compare)
		result[m.id] = StreamerTasks{m.active, m.standby}
	}
	return result
}

type sticky struct {
	members       []*streamer
	processes     []*process
	wasActive     map[Task]*streamer
	wasStandby    map[Task][]*streamer
	active, total quota
}

type streamer struct {
	id              string
	of              *process
	active, standby []Task
}

func (m *streamer) load() int { return len(m.active) + len(m.standby) }

// quota is how many of so many tasks each of so many members may have. Members that have theirs are out of it.
type quota struct{ tasks, members, each int }

func newQuota(tasks, members int) quota {
	q := quota{tasks: tasks, members: members}
	q.share()
	return q
}

func (q *quota) share() {
	q.each = 0
	if q.members > 0 {
		q.each = (q.tasks + q.members - 1) / q.members
	}
}

// took says that a member has n tasks now.
func (q *quota) took(n int) {
	if n == q.each {
		q.members--
		q.tasks -= n
		q.share()
	}
}

func newSticky(members []Streamer, subtopologies []Subtopology, standbys int) *sticky {
	s := &sticky{wasActive: map[Task]*streamer{}, wasStandby: map[Task][]*streamer{}}
	byID := map[string]*process{}
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Streamer) int { return strings.Compare(a.ID, b.ID) })
	for _, m := range members {
		p := byID[m.Process]
		if p == nil {
			p = &process{order: len(s.processes), has: map[Task]bool{}}
			byID[m.Process] = p
			s.processes = append(s.processes, p)
		}
		one := &streamer{id: m.ID, of: p}
		p.members = append(p.members, one)
		s.members = append(s.members, one)
		for _, t := range m.Active {
			s.wasActive[t] = one
		}
		for _, t := range m.Standby {
			s.wasStandby[t] = append(s.wasStandby[t], one)
		}
	}
	active, all := 0, 0
	for _, sub := range subtopologies {
		active += int(sub.Tasks)
		if all += int(sub.Tasks); sub.Stateful {
			all += int(sub.Tasks) * standbys
		}
	}
	s.active, s.total = newQuota(active, len(members)), newQuota(all, len(members))
	return s
}

func tasksOf(subtopologies []Subtopology, statefulOnly bool) []Task {
	var tasks []Task
	for _, sub := range subtopologies {
		for p := int32(0); p < sub.Tasks && (sub.Stateful || !statefulOnly); p++ {
			tasks = append(tasks, Task{sub.ID, p})
		}
	}
	return tasks
}

func (s *sticky) assignActive(tasks []Task) {
	slices.SortFunc(tasks, byPartition)
	tasks = slices.DeleteFunc(tasks, func(t Task) bool { return s.keepActive(t, s.wasActive[t]) })
	tasks = slices.DeleteFunc(tasks, func(t Task) bool { return s.keepActive(t, leastLoaded(s.wasStandby[t])) })
	slices.SortFunc(tasks, Task.Compare)
	queue := newProcessQueue(s.processes)
	for _, t := range tasks {
		if len(queue) == 0 {
			return // nobody is here
		}
		s.giveActive(t, leastLoaded(queue[0].members))
		heap.Fix(&queue, 0)
	}
}

// keepActive gives a task to who had it, if it may have more.
func (s *sticky) keepActive(t Task, m *streamer) bool {
	if m == nil || m.load() >= s.active.each {
		return false
	}
	s.giveActive(t, m)
	return true
}

func (s *sticky) giveActive(t Task, m *streamer) {
	m.active = append(m.active, t)
	m.of.take(t)
	s.active.took(m.load())
	s.total.took(m.load())
}

func (s *sticky) giveStandby(t Task, m *streamer) {
	m.standby = append(m.standby, t)
	m.of.take(t)
	s.total.took(m.load())
}

// copies is how many standby tasks are still to be given to somebody.
type copies struct {
	of   Task
	left int
}

func (s *sticky) assignStandby(tasks []Task, standbys int) {
	slices.SortFunc(tasks, func(a, b Task) int { return byPartition(b, a) })
	var rest []copies
	for _, t := range tasks {
		left := standbys
		for left > 0 && s.keepStandby(t) {
			left--
		}
		if left > 0 {
			rest = append(rest, copies{t, left})
		}
	}
	slices.SortFunc(rest, func(a, b copies) int { return b.of.Compare(a.of) })
	queue := newProcessQueue(s.processes)
	for _, c := range rest {
		for c.left > 0 && s.spreadStandby(c.of, &queue) {
			c.left--
		}
	}
}

// keepStandby gives a standby task to who had the task before, active or as standby.
func (s *sticky) keepStandby(t Task) bool {
	if m := s.wasActive[t]; m != nil && !m.of.has[t] && m.load() < s.total.each {
		s.giveStandby(t, m)
		return true
	}
	m := leastLoaded(slices.DeleteFunc(slices.Clone(s.wasStandby[t]), func(m *streamer) bool { return m.of.has[t] }))
	if m == nil || m.load() >= s.total.each {
		return false
	}
	s.giveStandby(t, m)
	return true
}

// spreadStandby gives a standby task to the process with the least to do that has no such task.
func (s *sticky) spreadStandby(t Task, queue *processQueue) bool {
	var passed []*process
	found := false
	for len(*queue) > 0 && !found {
		p := heap.Pop(queue).(*process)
		passed = append(passed, p)
		if found = !p.has[t]; found {
			s.giveStandby(t, leastLoaded(p.members))
		}
	}
	for _, p := range passed {
		heap.Push(queue, p)
	}
	return found
}

// leastLoaded is the member with the least to do, first of its process and then itself; nil when there is none.
func leastLoaded(members []*streamer) *streamer {
	if len(members) == 0 {
		return nil
	}
	return slices.MinFunc(members, func(a, b *streamer) int {
		return cmp.Or(a.of.compareLoad(b.of), cmp.Compare(a.load(), b.load()))
	})
}

// process is an instance of the application: its members, which are threads, share what it holds of a task's state.
type process struct {
	order   int
	members []*streamer
	has     map[Task]bool
	tasks   int
}

func (p *process) take(t Task) {
	p.has[t] = true
	p.tasks++
}

// compareLoad compares what there is to do for each member.
func (p *process) compareLoad(q *process) int {
	return cmp.Compare(p.tasks*len(q.members), q.tasks*len(p.members))
}

// processQueue is a heap of processes by load.
type processQueue []*process

func newProcessQueue(processes []*process) processQueue {
	q := processQueue(slices.Clone(processes))
	heap.Init(&q)
	return q
}

func (q processQueue) Len() int { return len(q) }
func (q processQueue) Less(i, j int) bool {
	return cmp.Or(q[i].compareLoad(q[j]), cmp.Compare(q[i].order, q[j].order)) < 0
}
func (q processQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *processQueue) Push(x any)   { *q = append(*q, x.(*process)) }
func (q *processQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
