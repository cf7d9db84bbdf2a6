package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Most time until a message that became available by itself (its deadline passed) is noticed.
const poll = 20 * time.Millisecond

// Wakes every stream when something was published, acknowledged or released.
type news struct {
	mutex sync.Mutex
	next  chan struct{}
}

func newNews() *news { return &news{next: make(chan struct{})} }

func (n *news) tell() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	close(n.next)
	n.next = make(chan struct{})
}

func (n *news) wait() <-chan struct{} {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.next
}

// One streaming pull: what it has out, and how much of that its client allows.
type stream struct {
	subscriber   *subscriber
	server       pb.Subscriber_StreamingPullServer
	subscription string
	maxMessages  int64
	maxBytes     int64
	exactly      bool
	ordering     *ordering // of a subscription that has one

	mutex    sync.Mutex
	deadline time.Duration
	out      map[string]int64 // acknowledgement id -> bytes
	outBytes int64
	// Of the messages last pulled, on average: a guess at what the next ones have.
	size int64
	// Sends of different goroutines must not overlap.
	sending sync.Mutex
}

func (s *subscriber) StreamingPull(server pb.Subscriber_StreamingPullServer) error {
	first, err := server.Recv()
	if err != nil {
		return err
	}
	if err := refusalOf(first.Subscription); err != nil {
		return err
	}
	ctx := server.Context()
	found, err := s.GServer.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: first.Subscription})
	if err != nil {
		return err
	}
	if first.StreamAckDeadlineSeconds < 10 || first.StreamAckDeadlineSeconds > 600 {
		return refused("a stream deadline of %d s", first.StreamAckDeadlineSeconds)
	}
	st := &stream{
		subscriber:   s,
		server:       server,
		subscription: first.Subscription,
		maxMessages:  first.MaxOutstandingMessages,
		maxBytes:     first.MaxOutstandingBytes,
		exactly:      found.EnableExactlyOnceDelivery,
		ordering:     s.orderings.find(first.Subscription),
		deadline:     time.Duration(first.StreamAckDeadlineSeconds) * time.Second,
		out:          map[string]int64{},
	}
	delivering, stop := context.WithCancel(ctx)
	defer stop()
	received := make(chan error, 1)
	delivered := make(chan error, 1)
	go func() { received <- st.receive() }()
	go func() { delivered <- st.deliver(delivering) }()
	select {
	case err = <-delivered:
		return err
	case err = <-received:
		// The client says no more: what is on its way still arrives, then the stream ends.
		stop()
		<-delivered
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}

// What the client says on the stream: acknowledgements, deadlines, and pings, which are answered.
func (st *stream) receive() error {
	ctx := st.server.Context()
	for {
		request, err := st.server.Recv()
		if err != nil {
			return err
		}
		if request.Subscription != "" || request.MaxOutstandingBytes != 0 || request.MaxOutstandingMessages != 0 {
			return refused("only the first request of a stream may say that")
		}
		if request.StreamAckDeadlineSeconds > 0 {
			st.mutex.Lock()
			st.deadline = time.Duration(request.StreamAckDeadlineSeconds) * time.Second
			st.mutex.Unlock()
		}
		if len(request.AckIds) > 0 {
			_, _ = st.subscriber.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: st.subscription, AckIds: request.AckIds})
		}
		for index, id := range request.ModifyDeadlineAckIds {
			_, _ = st.subscriber.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{
				Subscription: st.subscription, AckIds: []string{id}, AckDeadlineSeconds: request.ModifyDeadlineSeconds[index],
			})
		}
		if len(request.AckIds)+len(request.ModifyDeadlineAckIds) == 0 {
			if err := st.send(&pb.StreamingPullResponse{}); err != nil {
				return err
			}
		}
	}
}

func (st *stream) deliver(ctx context.Context) error {
	for {
		// Taken before the look: what comes in between is not missed.
		waiting := st.subscriber.news.wait()
		messages, err := st.pull(ctx)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			st.giveBack(messages)
			return err
		}
		if len(messages) == 0 {
			select {
			case <-ctx.Done():
				return status.FromContextError(ctx.Err()).Err()
			case <-waiting:
			case <-time.After(poll):
			}
			continue
		}
		response := &pb.StreamingPullResponse{
			ReceivedMessages: st.withFaults(ctx, messages),
			SubscriptionProperties: &pb.StreamingPullResponse_SubscriptionProperties{
				ExactlyOnceDeliveryEnabled: st.exactly,
				MessageOrderingEnabled:     st.ordering != nil,
			},
		}
		if err := st.send(response); err != nil {
			st.giveBack(messages)
			return err
		}
	}
}

// Nobody has got them.
func (st *stream) giveBack(messages []*pb.ReceivedMessage) {
	ids := make([]string, len(messages))
	for index, message := range messages {
		ids[index] = message.AckId
	}
	st.modify(context.Background(), ids, 0)
}

func (st *stream) send(response *pb.StreamingPullResponse) error {
	st.sending.Lock()
	defer st.sending.Unlock()
	return st.server.Send(response)
}

// As many as the flow control of the stream lets through.
func (st *stream) pull(ctx context.Context) ([]*pb.ReceivedMessage, error) {
	room := st.room()
	if room <= 0 {
		return nil, nil
	}
	received, err := st.next(ctx, int(room))
	if err != nil {
		return nil, err
	}
	st.mutex.Lock()
	deadline := st.deadline
	st.mutex.Unlock()
	var ids []string
	var kept []*pb.ReceivedMessage
	var tooMany []string
	var total int64
	for _, message := range received {
		size := int64(len(message.Message.Data))
		total += size
		st.mutex.Lock()
		// The one that crosses the limit is still sent, as the service does.
		full := st.maxBytes > 0 && st.outBytes >= st.maxBytes
		if !full {
			st.out[message.AckId] = size
			st.outBytes += size
		}
		st.mutex.Unlock()
		if full {
			st.subscriber.leases.extend(st.subscription, message.AckId, 0)
			tooMany = append(tooMany, message.AckId)
			continue
		}
		kept = append(kept, message)
		ids = append(ids, message.AckId)
		st.subscriber.leases.give(st.subscription, message.AckId, deadline)
	}
	if count := int64(len(received)); count > 0 {
		st.size = total / count
	}
	st.modify(ctx, ids, deadline)
	st.modify(ctx, tooMany, 0)
	return kept, nil
}

func (st *stream) next(ctx context.Context, most int) ([]*pb.ReceivedMessage, error) {
	if st.ordering != nil {
		return st.subscriber.pullOrdered(ctx, st.subscription, st.ordering, most)
	}
	request := &pb.PullRequest{Subscription: st.subscription, MaxMessages: int32(most), ReturnImmediately: true} //nolint:staticcheck
	response, err := st.subscriber.GServer.Pull(ctx, request)
	if err != nil {
		return nil, err
	}
	received := make([]*pb.ReceivedMessage, len(response.ReceivedMessages))
	for index, message := range response.ReceivedMessages {
		// pstest goes on changing its own.
		received[index] = proto.Clone(message).(*pb.ReceivedMessage)
	}
	return received, nil
}

func (st *stream) modify(ctx context.Context, ids []string, deadline time.Duration) {
	st.subscriber.modify(ctx, st.subscription, ids, int32(deadline/time.Second))
}

// How many more messages may be sent; forgets what is acknowledged, released or expired.
func (st *stream) room() int64 {
	st.mutex.Lock()
	defer st.mutex.Unlock()
	for id, size := range st.out {
		if st.subscriber.leases.holds(st.subscription, id) {
			continue
		}
		delete(st.out, id)
		st.outBytes -= size
	}
	if st.maxBytes > 0 && st.outBytes >= st.maxBytes {
		return 0
	}
	room := int64(1000)
	if st.maxBytes > 0 {
		room = min(room, (st.maxBytes-st.outBytes)/(st.size+1)+1)
	}
	if st.maxMessages > 0 {
		room = min(room, st.maxMessages-int64(len(st.out)))
	}
	return room
}

// Delivers a share again: half of them as a second copy whose id is good for nothing, half later, with a new id that
// makes the first one stale.
func (st *stream) withFaults(ctx context.Context, messages []*pb.ReceivedMessage) []*pb.ReceivedMessage {
	all := messages
	for _, message := range messages {
		if !st.subscriber.faults.redelivers() {
			continue
		}
		if st.subscriber.faults.either() {
			twin := proto.Clone(message).(*pb.ReceivedMessage)
			twin.AckId += ":twin"
			all = append(all, twin)
			continue
		}
		id := message.AckId
		time.AfterFunc(5*time.Millisecond, func() {
			st.subscriber.leases.extend(st.subscription, id, 0)
			st.modify(context.WithoutCancel(ctx), []string{id}, 0)
			st.subscriber.news.tell()
		})
	}
	return all
}
