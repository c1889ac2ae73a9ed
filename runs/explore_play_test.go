package runs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/leasetest"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var errOver = backend.ErrClosed

// play is one execution of a row: it takes the steps it is told, one at a time, in a bubble.
type play struct {
	row    *row
	world  world
	clock  *leasetest.Clock
	actors []*actor
	over   bool
	broken error
	faults int
	clocks int
	turn   int // whose step was the last; -1 for none
	turns  int // how often another went on before the last had come to its end
	issued []call

	executions []*execution
	ended      map[string]string // how each run ended, by its ticket
	names      map[string]string // ids drawn at random, by who drew them
	writers    map[uint64]callID // who wrote each revision
	met        map[stepKind]int
	told       []string // the steps in words
}

// execution is a function that ran under a claim, or a lease by hand.
type execution struct {
	actor    int
	ticket   string
	claim    string
	deadline time.Time
	hand     bool
	returned bool
	released bool
}

type stepKind int

const (
	goes       stepKind = iota // the actor's call is applied and answered
	answerLost                 // applied, the actor told of an error
	comesLate                  // the actor is told of an error, the call may land later
	dies                       // the actor dies before its call is applied
	diesAfter                  // the actor dies after its call was applied
	diesLate                   // the actor dies, and its call may land later
	lands                      // a late call lands
	clock                      // the clock steps over the deadline of every claim, and over the delay
)

var words = map[stepKind]string{
	goes: "goes", answerLost: "is applied, its answer lost", comesLate: "fails, may come late", dies: "dies before",
	diesAfter: "dies after", diesLate: "dies, may come late", lands: "lands late", clock: "the clock steps",
}

type step struct {
	kind stepKind
	id   callID // actor, or the late call
}

func newPlay(r *row) *play {
	p := &play{
		row: r, clock: leasetest.NewClock(t0), ended: make(map[string]string), turn: -1, names: make(map[string]string),
		writers: make(map[uint64]callID), met: make(map[stepKind]int), world: world{entries: make(map[string]entry)},
	}
	for i, program := range r.programs {
		a := &actor{play: p, id: i, program: strings.Fields(program), events: make(chan struct{}), answers: make(chan answer)}
		a.manager, a.steps = p.managerOn(view{a})
		p.actors = append(p.actors, a)
		go a.work()
		<-a.events
	}
	return p
}

func (p *play) managerOn(b backend.Backend) (*lease.Manager, runlink.Steps) {
	m, err := lease.NewManager(b, lease.WithClock(p.clock))
	if err != nil {
		panic(err)
	}
	return m, runlink.Of(m)
}

// close makes the actors return.
func (p *play) close() {
	p.over = true
	for _, a := range p.actors {
		for !a.done {
			a.answers <- answer{err: errOver}
			<-a.events
		}
	}
}

// enabled are the choices there are now.
func (p *play) enabled() (all []step) {
	working := false
	for _, a := range p.actors {
		if a.done || a.dead {
			continue
		}
		working = true
		id := callID{actor: a.id}
		if p.preempts(step{goes, id}) && p.turns == p.row.bound() {
			continue
		}
		all = append(all, step{goes, id})
		if p.faults == p.row.faults {
			continue
		}
		switch c := a.waiting; {
		case c.kind == toGoOn && p.working(a.id):
			all = append(all, step{dies, id})
		case (c.kind == toWrite || c.kind == toDelete) && p.world.fits(*c):
			all = append(all, step{answerLost, id}, step{dies, id}, step{diesAfter, id}, step{diesLate, id})
			if c.key == markedKey { // a Manager sends its own again until it knows
				all = append(all, step{comesLate, id})
			}
		}
	}
	for _, c := range p.world.late {
		if p.world.fits(c) {
			all = append(all, step{lands, c.id})
		}
	}
	if p.clocks < p.row.clocks && working && p.betweenCalls() {
		all = append(all, step{kind: clock})
	}
	return all
}

// betweenCalls tells whether it may matter that the clock steps: no actor has just been told of
// something and reads on. When it reads, and what it read before, the clock makes no difference to.
func (p *play) betweenCalls() bool {
	if p.turn < 0 || p.actors[p.turn].done || p.actors[p.turn].dead {
		return true
	}
	k := p.actors[p.turn].waiting.kind
	return k == toGoOn || k == toWrite
}

func (p *play) working(actor int) bool {
	return slices.ContainsFunc(p.executions, func(e *execution) bool { return e.actor == actor && !e.returned })
}

func (p *play) do(s step) {
	p.met[s.kind]++
	p.told = append(p.told, p.describe(s))
	switch s.kind {
	case clock:
		p.clocks++
		p.clock.Advance(clockStep)
		return
	case lands:
		i := slices.IndexFunc(p.world.late, func(c call) bool { return c.id == s.id })
		c := p.world.late[i]
		p.world.late = slices.Delete(p.world.late, i, i+1)
		p.apply(c)
		return
	}
	a := p.actors[s.id.actor]
	c := *a.waiting
	p.issued = append(p.issued, c)
	if p.preempts(s) {
		p.turns++
	}
	p.turn = s.id.actor
	if s.kind != goes {
		p.faults++
	}
	ans := answer{err: errBroken}
	switch s.kind {
	case goes:
		ans = p.apply(c)
	case answerLost, diesAfter:
		p.apply(c)
	case comesLate, diesLate:
		p.world.late = append(p.world.late, c)
	}
	if s.kind == dies || s.kind == diesAfter || s.kind == diesLate {
		a.dead = true
		a.end()
		return
	}
	a.saw(c, s.kind == goes, ans)
	a.waiting = nil
	a.answers <- ans
	<-a.events
}

// apply applies c, and checks what it has changed.
func (p *play) apply(c call) answer {
	before := p.world.record()
	ans := p.world.apply(c)
	if ans.revision != 0 {
		p.writers[ans.revision] = c.id
	}
	if ans.err == nil && c.kind != toGet && c.kind != toList {
		p.world.forgetHopeless()
		p.note(p.checkWrite(before))
	}
	return ans
}

func (p *play) note(err error) {
	if p.broken == nil {
		p.broken = err
	}
}

func (p *play) describe(s step) string {
	switch s.kind {
	case clock:
		return words[clock]
	case lands:
		return fmt.Sprintf("a%d's call %d %s", s.id.actor+1, s.id.at, words[lands])
	}
	c := p.actors[s.id.actor].waiting
	kind := [...]string{"get", "write", "delete", "list", "work"}[c.kind]
	what := map[string]string{recordKey: " record", markedKey: " marker", prefix: " markers"}[c.key]
	return fmt.Sprintf("a%d %s%s %s", s.id.actor+1, kind, what, words[s.kind])
}

// begin notes that a function begins.
func (a *actor) begin(e *execution) {
	a.note(a.checkBegin(e))
	a.executions = append(a.executions, e)
}

// end notes that the functions of a have returned.
func (a *actor) end() {
	for _, e := range a.executions {
		if e.actor == a.id {
			e.returned = true
		}
	}
}

// What follows makes the fingerprint of a state: all that the future and the rules depend on.

var (
	drawn  = regexp.MustCompile(`"(lease|op)_[A-Za-z0-9_]+"`)
	dues   = regexp.MustCompile(`"due":"([^"]+)"`)
	tokens = regexp.MustCompile(`"token":\d+`)
)

// preempts tells whether s goes on with another than the last, which has not come to its end.
func (p *play) preempts(s step) bool {
	return p.turn >= 0 && p.turn != s.id.actor && !p.actors[p.turn].done && !p.actors[p.turn].dead && p.actors[p.turn].waiting.kind != toList
}

// name names the ids that were drawn for c.
func (p *play) name(c call) {
	for i, id := range drawn.FindAllString(string(c.value), -1) {
		if _, ok := p.names[id]; !ok {
			p.names[id] = fmt.Sprintf("<%d.%d.%d>", c.id.actor, c.id.at, i)
		}
	}
}

// plain is a value without what chance or the order of unrelated writes has made.
func (p *play) plain(value []byte) []byte {
	value = drawn.ReplaceAllFunc(value, func(id []byte) []byte { return []byte(p.names[string(id)]) })
	if p.row.paused { // by chance for longer or shorter
		value = dues.ReplaceAllFunc(value, func(due []byte) []byte {
			at, err := time.Parse(time.RFC3339Nano, string(dues.FindSubmatch(due)[1]))
			return fmt.Append(nil, err, p.clock.Now().Before(at))
		})
	}
	return tokens.ReplaceAllFunc(value, func(t []byte) []byte {
		var n uint64
		fmt.Sscanf(string(t), `"token":%d`, &n)
		return fmt.Append(nil, p.writers[n])
	})
}

func (a *actor) saw(c call, told bool, ans answer) {
	a.trace = fmt.Append(a.trace, c.kind, len(c.key), told, ans.err, a.writers[ans.entry.Revision], a.clocks, ";")
}

func (p *play) state() [16]byte {
	for _, c := range p.issued {
		p.name(c)
	}
	p.issued = p.issued[:0]
	var b bytes.Buffer
	turn := p.turn
	if turn >= 0 && (p.actors[turn].done || p.actors[turn].dead) {
		turn = -1
	}
	fmt.Fprint(&b, turn, p.clocks, p.executionsNow())
	for _, k := range []string{recordKey, markedKey} {
		e := p.world.entries[k]
		fmt.Fprintf(&b, "|%v %s", e.by, p.plain(e.value))
	}
	for _, c := range p.world.late {
		fmt.Fprintf(&b, "|late %v %v %v %s", c.id, c.kind, p.writers[c.expected], p.plain(c.value))
	}
	for _, a := range p.actors {
		switch {
		case a.done || a.dead:
			fmt.Fprint(&b, "|-")
		default:
			fmt.Fprintf(&b, "|%s", a.trace)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(p.ended)) {
		fmt.Fprint(&b, "|", p.names[`"`+t+`"`], p.ended[t])
	}
	sum := sha256.Sum256(b.Bytes())
	return [16]byte(sum[:16])
}

func (p *play) executionsNow() (s string) {
	var all []string
	for _, e := range p.executions {
		all = append(all, fmt.Sprint(e.actor, p.names[`"`+e.ticket+`"`], e.deadline.Sub(t0), e.hand, e.returned, e.released))
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// recoverAll is what workers do in the end, with markers alone, however long it takes.
func (p *play) recoverAll() error {
	_, steps := p.managerOn(direct{p})
	m, _ := p.managerOn(direct{p})
	ctx := context.Background()
	for round := range 40 {
		e, ok := p.world.entries[markedKey]
		if !ok {
			fits := slices.IndexFunc(p.world.late, p.world.fits)
			if fits < 0 {
				break
			}
			p.do(step{lands, p.world.late[fits].id})
			continue
		}
		mk := readMarker(key, backend.Entry{Key: markedKey, Value: e.value, Revision: e.revision})
		l, err := look(ctx, steps, mk, fmt.Sprint("claim_end_", round), claimTTL)
		switch {
		case err != nil:
			return fmt.Errorf("a worker's look: %w", err)
		case l.claim != nil:
			c := l.claim.Lease.(lease.Lease)
			x := &execution{actor: -1, ticket: l.claim.sight.Lease.(lease.Lease).LeaseID, deadline: c.ExpiresAt}
			if err := p.checkBegin(x); err != nil {
				return err
			}
			x.returned = true
			p.executions = append(p.executions, x)
			if _, err := m.Complete(ctx, key, c.LeaseID, lease.Completion{}); err != nil {
				return fmt.Errorf("the last worker's completion: %w", err)
			}
			if err := finish(ctx, steps, l.claim); err != nil {
				return err
			}
		case !l.next.IsZero():
			p.clock.Advance(max(time.Nanosecond, l.next.Sub(p.clock.Now())))
		}
		if p.broken != nil {
			return p.broken
		}
	}
	return p.checkQuiet()
}

// direct is the store at once.
type direct struct{ p *play }

func (d direct) Get(_ context.Context, key string) (backend.Entry, error) {
	a := d.p.world.apply(call{kind: toGet, key: key})
	return a.entry, a.err
}

func (d direct) CompareAndSet(_ context.Context, key string, expected uint64, value []byte, _ time.Duration) (uint64, error) {
	a := d.p.apply(call{id: callID{-1, 0}, kind: toWrite, key: key, expected: expected, value: bytes.Clone(value)})
	return a.revision, a.err
}

func (d direct) CompareAndDelete(_ context.Context, key string, expected uint64) error {
	return d.p.apply(call{kind: toDelete, key: key, expected: expected}).err
}
