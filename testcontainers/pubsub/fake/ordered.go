package main

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// How long pstest may think that a message is with a client while it waits here, s.
const waitingDeadline = 600

// Order by ordering key, as the service keeps it: one message after the other, many at once in the hands of a client; a
// message that is delivered again brings back those of its key that came after it. pstest has one message per key out at a
// time, so to pstest these subscriptions are without order.
type ordering struct {
	mutex sync.Mutex
	// Not with any client, in the order of their publishing.
	waiting []*pb.ReceivedMessage
	// By message id: those that were pulled before.
	pulled map[string]bool
	// With a client: acknowledgement id -> message.
	out map[string]*pb.PubsubMessage
}

// Those of all subscriptions that have an order.
type orderings struct {
	mutex sync.Mutex
	named map[string]*ordering
}

func newOrderings() *orderings { return &orderings{named: map[string]*ordering{}} }

func (o *orderings) find(subscription string) *ordering {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.named[subscription]
}

func (o *orderings) set(subscription string, ordered bool) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	delete(o.named, subscription)
	if ordered {
		o.named[subscription] = &ordering{pulled: map[string]bool{}, out: map[string]*pb.PubsubMessage{}}
	}
}

func (s *subscriber) CreateSubscription(ctx context.Context, asked *pb.Subscription) (*pb.Subscription, error) {
	ordered := asked.EnableMessageOrdering
	asked.EnableMessageOrdering = false
	created, err := s.GServer.CreateSubscription(ctx, asked)
	if err != nil {
		return nil, err
	}
	s.orderings.set(created.Name, ordered)
	return s.withOrdering(created), nil
}

func (s *subscriber) GetSubscription(ctx context.Context, request *pb.GetSubscriptionRequest) (*pb.Subscription, error) {
	found, err := s.GServer.GetSubscription(ctx, request)
	if err != nil {
		return nil, err
	}
	return s.withOrdering(found), nil
}

func (s *subscriber) DeleteSubscription(ctx context.Context, request *pb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	response, err := s.GServer.DeleteSubscription(ctx, request)
	if err == nil {
		s.orderings.set(request.Subscription, false)
		s.news.tell()
	}
	return response, err
}

func (s *subscriber) withOrdering(found *pb.Subscription) *pb.Subscription {
	copied := proto.Clone(found).(*pb.Subscription)
	copied.EnableMessageOrdering = s.orderings.find(found.Name) != nil
	return copied
}

// The next ones in order, at most so many.
func (s *subscriber) pullOrdered(ctx context.Context, subscription string, o *ordering, most int) ([]*pb.ReceivedMessage, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for id := range o.out {
		if !s.leases.holds(subscription, id) {
			delete(o.out, id)
		}
	}
	for {
		request := &pb.PullRequest{Subscription: subscription, MaxMessages: math.MaxInt32, ReturnImmediately: true} //nolint:staticcheck
		response, err := s.GServer.Pull(ctx, request)
		if err != nil {
			return nil, err
		}
		if len(response.ReceivedMessages) == 0 {
			break
		}
		for _, received := range response.ReceivedMessages {
			// pstest goes on changing its own.
			message := proto.Clone(received).(*pb.ReceivedMessage)
			if o.pulled[message.Message.MessageId] {
				s.takeBack(ctx, subscription, o, message.Message)
			}
			o.pulled[message.Message.MessageId] = true
			o.waiting = append(o.waiting, message)
			s.modify(ctx, subscription, []string{message.AckId}, waitingDeadline)
		}
	}
	slices.SortFunc(o.waiting, func(left, right *pb.ReceivedMessage) int {
		return cmp.Compare(number(left.Message), number(right.Message))
	})
	taken := slices.Clone(o.waiting[:min(most, len(o.waiting))])
	o.waiting = slices.Clone(o.waiting[len(taken):])
	for _, message := range taken {
		// Known as good until the stream has said for how long.
		s.leases.give(subscription, message.AckId, time.Minute)
		o.out[message.AckId] = message.Message
	}
	return taken, nil
}

// What came after a message of a key is delivered again with it.
func (s *subscriber) takeBack(ctx context.Context, subscription string, o *ordering, first *pb.PubsubMessage) {
	for id, message := range o.out {
		if first.OrderingKey == "" || message.OrderingKey != first.OrderingKey || number(message) < number(first) {
			continue
		}
		delete(o.out, id)
		s.leases.extend(subscription, id, 0)
		s.modify(ctx, subscription, []string{id}, 0)
	}
}

func (s *subscriber) modify(ctx context.Context, subscription string, ids []string, seconds int32) {
	if len(ids) == 0 {
		return
	}
	request := &pb.ModifyAckDeadlineRequest{Subscription: subscription, AckIds: ids, AckDeadlineSeconds: seconds}
	_, _ = s.GServer.ModifyAckDeadline(ctx, request)
}

// pstest counts its messages: m0, m1, m2.
func number(message *pb.PubsubMessage) int {
	counted, _ := strconv.Atoi(strings.TrimPrefix(message.MessageId, "m"))
	return counted
}
