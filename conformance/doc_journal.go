// # Broken journals
//
// The same for stores with a journal, [backend.Journal]:
//
//	journal that adds a batch backwards                    journal order
//	journal that adds the first of a batch alone           journal order
//	journal that sorts a batch by its data                 journal order
//	journal entry without its stream                       journal order
//	journal entry without its id                           journal ids
//	journal entry without its position                     journal order
//	journal entry with its keep                            journal order
//	journal positions that begin with 0                    journal order
//	journal positions of each stream                       journal order
//	journal positions of each call                         journal order
//	journal positions that an entry brings along           journal order
//	journal data made valid UTF-8                          journal data
//	journal data cut at 32 KiB                             journal data
//	journal entry without data that is not added           journal data
//	journal that keeps the caller's data                   journal aliasing
//	journal that hands out its own data                    journal aliasing
//	journal streams that hand out the journal's own data   journal aliasing
//	journal page whose data lies side by side              journal aliasing
//	journal that refuses data of more than 32 KiB          journal data
//	journal that refuses ids of more than 36 bytes         journal limits
//	journal that refuses streams of more than 255 bytes    journal limits
//	journal that refuses a keep of more than a year        journal limits
//	journal that refuses a batch of more than 500          journal limits
//	journal that adds the first 500 of a batch             journal limits
//	journal that adds all up to what it refuses            journal invalid
//	journal that checks no entry                           journal invalid
//	journal that takes any number of entries               journal invalid
//	journal that keeps for ever what has no keep           journal invalid
//	journal that takes a negative keep for none            journal invalid
//	journal streams without case                           journal prefixes
//	journal streams told apart by their first 255 bytes    journal prefixes
//	journal stream that shows those below it too           journal model
//	a key that is deleted takes its stream along           journal and keys
//	a stream is a key too                                  journal and keys
//	an id that is not looked at                            journal ids
//	an id is taken in all streams                          journal ids
//	an id without case                                     journal ids
//	an empty id is one too                                 journal order
//	an id that comes twice in one batch                    journal ids
//	a taken id that replaces what is there                 journal ids
//	a taken id that is an error                            journal ids
//	a taken id that drops the rest of its batch            journal ids
//	only the last 500 ids are remembered                   journal of many entries
//	an id that two callers take at once                    journal race of ids
//	read of a stream from the position itself              journal pages
//	read of a stream that returns the last up to the limit journal pages
//	read of a stream with one more than the limit          journal pages
//	read of a stream newest first                          journal order
//	read of a stream that ends after a page of 500         journal of many entries
//	read of a stream from its second entry                 journal order
//	read of an unknown stream that fails                   journal pages
//	read of a stream with a position of 63 bits            journal pages
//	read of the newest with the position itself            journal pages
//	read of the newest with the oldest first               journal pages
//	read of the newest before 0 that finds nothing         journal pages
//	read of the newest that returns the first              journal pages
//	read of the newest with one more than the limit        journal pages
//	read of the newest that looks at the last 100 alone    journal of many entries
//	read of the newest of one namespace alone              journal pages
//	read of the newest by a pattern                        journal prefixes
//	read of the newest by a prefix of 255 bytes            journal prefixes
//	journal pages whose limit may be 0                     journal invalid
//	journal pages of any size                              journal invalid
//	read of an impossible stream that is empty             journal invalid
//	streams in the order of their names                    journal streams
//	streams with the oldest first                          journal streams
//	streams that leave out nothing                         journal streams
//	streams that leave out one more                        journal streams
//	streams with one more than the limit                   journal streams
//	streams whose negative offset is none                  journal invalid
//	streams whose total is that of the page                journal streams
//	streams whose total leaves out what the page does      journal streams
//	streams beyond a page of 1000 that are not counted     journal of many entries
//	streams by a pattern                                   journal prefixes
//	streams that count one too many                        journal streams
//	streams that count what an id has dropped              journal ids
//	streams whose newest entry is the first                journal streams
//	streams without the data of the newest entry           journal streams
//	streams that are listed while others move              journal streams while appending
//	journal position given before its entry is there       journal appenders
//	journal that turns round what comes beside others      journal appenders
//	journal that loses what comes beside others            journal appenders
//	journal that turns away the third Append at once       journal appenders
//	one Append in two hundred is acknowledged only         journal prefixes
//	Append that is acknowledged early while others read    journal fresh reads
//	streams that are behind by one Append                  journal ids
//	read of the newest without what was added last         journal pages
//	journal keep cut to whole seconds                      journal keep
//	journal keep cut to whole seconds, and one at least    journal keep
//	journal keep that overflows the clock                  journal limits
//	journal keep in milliseconds of 32 bits                journal limits
//	journal that never forgets                             journal keep
//	journal stream that ends with its oldest entry         journal keep
//	streams that count what is gone                        journal keep
//	streams of which nothing is left                       journal keep
//	streams whose newest entry is gone                     journal keep
//	read of the newest that shows what is gone             journal keep
//	a position that is used again after a drop             journal keep
//	an id that is taken for ever                           journal keep
//	two handles, each with a journal of its own            journal elsewhere
//	another handle reads a stream late                     journal elsewhere
//	another handle reads the newest late                   journal elsewhere
//	another handle lists streams late                      journal elsewhere
//	two handles that each remember their own ids           journal elsewhere
//	two handles that both take an id                       journal race of handles
//	acknowledged entry lost in a crash                     journal crash
//	entry that is there twice after a crash                journal crash
//	two entries that change places in a crash              journal crash
//	journal positions that begin anew after a crash        journal crash
//	a position that is used again after a crash            journal crash
//	ids forgotten in a crash                               journal crash
//	Append that adds although its context has ended        journal ended context
//	Append that does not look at its context               journal ended context
//	journal reads that do not look at their context        journal ended context
//	streams with an ended context that are none            journal ended context
//	Append that is blocked when its context ends           journal cut short
//	Append that says unavailable, and adds                 journal cut short
//	Append that says unavailable, and adds later           journal cut short
//	Append that succeeds, with half of it, if it is cut    journal cut short
//	Append with an error of its own if it is cut           journal cut short
//	Append that reads its data after the call              journal cut short
//	closed journal that adds                               journal closed
//	closed journal that says so, and adds                  journal closed
//	closed journal that is read                            journal closed
//	closed journal that lists no streams                   journal closed
//	Append under way that says closed, and adds            journal closed
//	entry that was acknowledged, and is lost in closing    journal closed
package conformance
