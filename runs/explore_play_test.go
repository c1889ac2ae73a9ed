package runs

import (
	"fmt"
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
	ended      map[string]string  // how each run ended, by its ticket
	names      map[string]string  // ids drawn at random, by who drew them
	writers    map[uint64]callID  // who wrote each revision
	plains     map[written][]byte // by plain
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
		writers: make(map[uint64]callID), plains: make(map[written][]byte), met: make(map[stepKind]int), world: world{entries: make(map[string]entry)},
	}
	for i, program := range r.programs {
		a := &actor{play: p, id: i, program: strings.Fields(program), events: make(chan struct{}), answers: make(chan answer)}
		var ahead time.Duration
		if r.skew > 0 && strings.HasPrefix(program, "start") {
			ahead = r.skew
		}
		a.manager, a.steps = p.managerOn(view{a}, ahead)
		p.actors = append(p.actors, a)
		go a.work()
		<-a.events
	}
	return p
}

// fast is a clock that is ahead of the others.
type fast struct {
	lease.Clock
	by time.Duration
}

func (c fast) Now() time.Time { return c.Clock.Now().Add(c.by) }

func (p *play) managerOn(b backend.Backend, ahead time.Duration) (*lease.Manager, runlink.Steps) {
	m, err := lease.NewManager(b, lease.WithClock(fast{p.clock, ahead}), lease.WithClockSkew(p.row.skew))
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
		if p.faults == p.row.faults || p.faults+p.clocks >= p.row.most() {
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
	if p.clocks < p.row.clocks && p.faults+p.clocks < p.row.most() && working && p.betweenCalls() {
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
