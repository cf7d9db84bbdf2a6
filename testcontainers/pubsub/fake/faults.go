package main

import (
	"context"
	"math/rand"
	"regexp"
	"sync"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type faults struct {
	mutex     sync.Mutex
	random    *rand.Rand
	redeliver float64
	expire    float64
}

func newFaults(redeliver float64, expire float64, seed int64) *faults {
	return &faults{random: rand.New(rand.NewSource(seed)), redeliver: redeliver, expire: expire}
}

func (f *faults) chance(share float64) bool {
	if share == 0 {
		return false
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.random.Float64() < share
}

func (f *faults) expires() bool    { return f.chance(f.expire) }
func (f *faults) redelivers() bool { return f.chance(f.redeliver) }
func (f *faults) either() bool     { return f.chance(0.5) }

// Resources whose name ends so are refused, whether they exist or not: pstest knows no permissions and no quotas. So is
// everything in a project whose name ends in -forbidden: whoever is at home there may only use what others let him.
var refusals = []struct {
	name *regexp.Regexp
	code codes.Code
}{
	{regexp.MustCompile(`-permission-denied$`), codes.PermissionDenied},
	{regexp.MustCompile(`^projects/[^/]*-forbidden/`), codes.PermissionDenied},
	{regexp.MustCompile(`-resource-exhausted$`), codes.ResourceExhausted},
	{regexp.MustCompile(`-unavailable$`), codes.Unavailable},
	{regexp.MustCompile(`-unauthenticated$`), codes.Unauthenticated},
}

func refusalOf(names ...string) error {
	for _, name := range names {
		for _, refusal := range refusals {
			if refusal.name.MatchString(name) {
				return status.Errorf(refusal.code, "%q is refused by its name", name)
			}
		}
	}
	return nil
}

func refuseUnary(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if named, ok := request.(interface{ GetTopic() string }); ok {
		if err := refusalOf(named.GetTopic()); err != nil {
			return nil, err
		}
	}
	if named, ok := request.(interface{ GetSubscription() string }); ok {
		if err := refusalOf(named.GetSubscription()); err != nil {
			return nil, err
		}
	}
	switch created := request.(type) {
	case *pb.Topic:
		if err := refusalOf(created.Name); err != nil {
			return nil, err
		}
	case *pb.Subscription:
		if err := refusalOf(created.Name); err != nil {
			return nil, err
		}
	}
	return handler(ctx, request)
}
