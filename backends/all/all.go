// Package all registers every store of this module with package backends, for programs that let
// their configuration choose. It is imported for that alone:
//
//	import (
//		"github.com/ailease/lease/backends"
//		_ "github.com/ailease/lease/backends/all"
//	)
//
// It links SQLite and the client of NATS, some twenty megabytes. A program that has made up its
// mind imports the one store that it uses.
package all

import (
	_ "github.com/ailease/lease/backends/memory" // memory:
	_ "github.com/ailease/lease/backends/natskv" // nats: and tls:
	_ "github.com/ailease/lease/backends/sqlite" // sqlite:
)
