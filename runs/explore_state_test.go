package runs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What follows makes the fingerprint of a state: all that the future and the rules depend on.

var (
	drawn  = regexp.MustCompile(`"(lease_[A-Z2-7]{26}|op_[A-Z2-7]{26}_[a-z0-9]+)"`)
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
	as := written{string(value), p.clocks}
	if _, ok := p.plains[as]; !ok {
		p.plains[as] = p.makePlain(value)
	}
	return p.plains[as]
}

// written is a value as it is read after so many steps of the clock.
type written struct {
	value  string
	clocks int
}

func (p *play) makePlain(value []byte) []byte {
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
	ended := make(map[string]string)
	for ticket, how := range p.ended {
		ended[p.names[`"`+ticket+`"`]] = how
	}
	fmt.Fprint(&b, "|", ended) // in the order of its keys
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
