package runs

import (
	"context"
	"time"
)

// outliving returns a context that ends after most, and when ctx has ended for so long as after: a
// write that was begun is not broken off, and a store that is away does not hold up a shutdown.
func outliving(ctx context.Context, most, after time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	stop := context.AfterFunc(ctx, func() {
		late := time.NewTimer(after)
		defer late.Stop()
		select {
		case <-late.C:
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}
