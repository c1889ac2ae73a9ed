package natskv

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// TestAllPages: a name that is there all the while is found exactly once, whatever vanishes or
// comes between two pages.
func TestAllPages(t *testing.T) {
	const size, overlap = 10, 3
	name := func(i int) string { return fmt.Sprintf("k%04d", i) }
	for what, change := range map[string]func(list []string, turn int) []string{
		"nothing changes":       func(list []string, _ int) []string { return list },
		"some vanish":           func(list []string, _ int) []string { return list[2:] },
		"more than the overlap": func(list []string, _ int) []string { return list[5:] },
		"nearly all vanish":     func(list []string, turn int) []string { return list[min(turn, 1)*(len(list)-4)/2:] },
		"others come in front": func(list []string, turn int) []string {
			return append([]string{fmt.Sprintf("a%04d", 99-turn)}, list...)
		},
		"others come at the end": func(list []string, turn int) []string { return append(list, fmt.Sprintf("z%04d", turn)) },
	} {
		for _, n := range []int{0, 1, size - 1, size, size + 1, 4*size + 1} {
			t.Run(fmt.Sprintf("%s, of %d", what, n), func(t *testing.T) {
				var list []string
				for i := range n {
					list = append(list, name(i))
				}
				turn := 0
				found, err := allPages(func(offset int) ([]string, int, error) {
					if turn++; turn > 1 && turn < 20 && len(list) > 10 {
						list = change(slices.Clone(list), turn)
					}
					from := min(offset, len(list))
					page := slices.Clone(list[from:min(from+size, len(list))])
					slices.Reverse(page) // the answer is a JSON object, without order
					return page, len(list), nil
				}, overlap)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.IsSorted(found) || len(slices.Compact(slices.Clone(found))) != len(found) {
					t.Errorf("a name came twice: %v", found)
				}
				for _, stays := range list {
					if stays[0] == 'k' && !slices.Contains(found, stays) {
						t.Errorf("%s was there all the while, and is not among %v", stays, found)
					}
				}
			})
		}
	}
	broken := errors.New("broken")
	if _, err := allPages(func(int) ([]string, int, error) { return nil, 0, broken }, overlap); !errors.Is(err, broken) {
		t.Errorf("an error of the server: %v", err)
	}
}
