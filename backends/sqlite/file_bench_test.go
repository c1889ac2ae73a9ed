package sqlite

import "testing"

// BenchmarkCheck is what finding out whether the file is still in its place takes. A transaction
// does it twice.
func BenchmarkCheck(b *testing.B) {
	s, _ := openInside(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.file.check(); err != nil {
			b.Fatal(err)
		}
	}
}
