package timeline

import "github.com/ailease/lease"

// Observe notes an event of a Manager, for [lease.WithObserver]. It never waits for the store.
//
//	event                               type              status
//	acquired, taken_over, replaced      lease:acquired    acquired, taken_over, replaced
//	extended                            lease:extended    the state
//	released                            lease:released    released
//	completed                           lease:completed   completed
//	failed                              lease:failed      failed
//	lost                                lease:lost        the state, if it is known
//	locked, duplicate                   lock:checked      locked, duplicate
//
// Other events are for operators, and are not noted. Of a run these are its start, as acquired, its
// end, and a claim that was lost. Package runs tells of its attempts.
func (s *Store) Observe(e lease.Event) {
	if e.Dropped > 0 {
		s.drop(e.Dropped)
	}
	var kind, status string
	switch e.Kind {
	case lease.EventAcquired, lease.EventTakenOver, lease.EventReplaced:
		kind, status = "lease:acquired", string(e.Kind)
	case lease.EventExtended:
		kind, status = "lease:extended", string(e.State)
	case lease.EventReleased:
		kind, status = "lease:released", "released"
	case lease.EventCompleted:
		kind, status = "lease:completed", "completed"
	case lease.EventFailed:
		kind, status = "lease:failed", "failed"
	case lease.EventLost:
		kind, status = "lease:lost", string(e.State)
	case lease.EventLocked, lease.EventDuplicate:
		kind, status = "lock:checked", string(e.Kind)
	default:
		return
	}
	if e.Claim && !tellsOfRun(&e) {
		return
	}
	if !s.rate.take() {
		return
	}
	runID, agentID := IDs(e.Key, e.Metadata)
	s.note(Entry{
		Namespace: e.Namespace, RunID: runID, Time: e.At, Type: kind, Status: status, Key: e.Key,
		AgentID: agentID, Attempt: e.Attempt, Token: e.Token, ErrorCode: e.ErrorCode,
	}, e.Version)
}

// tellsOfRun tells whether what a worker did with its claim is about the run, and not an attempt.
func tellsOfRun(e *lease.Event) bool {
	switch e.Kind {
	case lease.EventCompleted, lease.EventLost:
		return true
	case lease.EventFailed:
		return e.State == lease.StateFailed // else the run waits for its next attempt
	default:
		return false
	}
}
