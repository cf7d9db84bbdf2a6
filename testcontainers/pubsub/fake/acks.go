package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Which acknowledgement ids of a subscription are good: the one of the last delivery, until its deadline.
type leases struct {
	mutex sync.Mutex
	// subscription -> id -> until
	until map[string]map[string]time.Time
}

func newLeases() *leases {
	return &leases{until: map[string]map[string]time.Time{}}
}

func (l *leases) give(subscription string, id string, deadline time.Duration) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	ids := l.until[subscription]
	if ids == nil {
		ids = map[string]time.Time{}
		l.until[subscription] = ids
	}
	ids[id] = time.Now().Add(deadline)
}

// An id that is good until its deadline gets another one. With 0 it is good no more.
func (l *leases) extend(subscription string, id string, deadline time.Duration) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	ids := l.until[subscription]
	until, known := ids[id]
	if !known || time.Now().After(until) {
		delete(ids, id)
		return false
	}
	if deadline == 0 {
		delete(ids, id)
	} else {
		ids[id] = time.Now().Add(deadline)
	}
	return true
}

func (l *leases) holds(subscription string, id string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	until, known := l.until[subscription][id]
	if known && time.Now().Before(until) {
		return true
	}
	delete(l.until[subscription], id)
	return false
}

// What a client may not send: pstest says nothing of it, the service does.
func checkIds(ids []string) error {
	if len(ids) == 0 {
		return refused("no acknowledgement id")
	}
	for _, id := range ids {
		if !strings.Contains(id, ":") {
			return refused("the acknowledgement id %q is malformed", id)
		}
	}
	return nil
}

func (s *subscriber) exactlyOnce(ctx context.Context, subscription string) bool {
	found, err := s.GServer.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: subscription})
	return err == nil && found.EnableExactlyOnceDelivery
}

func (s *subscriber) Acknowledge(ctx context.Context, request *pb.AcknowledgeRequest) (*emptypb.Empty, error) {
	if err := checkIds(request.AckIds); err != nil {
		return nil, err
	}
	exactly := s.exactlyOnce(ctx, request.Subscription)
	invalid := map[string]string{}
	var good []string
	var late []string
	for _, id := range request.AckIds {
		expired := s.faults.expires()
		valid := s.leases.extend(request.Subscription, id, 0)
		if expired {
			late = append(late, id)
		} else {
			good = append(good, id)
		}
		if exactly && (expired || !valid) {
			invalid[id] = "PERMANENT_FAILURE_INVALID_ACK_ID"
		}
	}
	if len(late) > 0 {
		_, _ = s.GServer.ModifyAckDeadline(ctx, &pb.ModifyAckDeadlineRequest{Subscription: request.Subscription, AckIds: late})
	}
	// Without an id it still says whether there is such a subscription.
	response, err := s.GServer.Acknowledge(ctx, &pb.AcknowledgeRequest{Subscription: request.Subscription, AckIds: good})
	s.news.tell()
	if err != nil || len(invalid) == 0 {
		return response, err
	}
	return nil, ackError(invalid)
}

func (s *subscriber) ModifyAckDeadline(ctx context.Context, request *pb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	if err := checkIds(request.AckIds); err != nil {
		return nil, err
	}
	invalid := map[string]string{}
	for _, id := range request.AckIds {
		if !s.leases.extend(request.Subscription, id, time.Duration(request.AckDeadlineSeconds)*time.Second) {
			invalid[id] = "PERMANENT_FAILURE_INVALID_ACK_ID"
		}
	}
	response, err := s.GServer.ModifyAckDeadline(ctx, request)
	s.news.tell()
	if err != nil || len(invalid) == 0 || !s.exactlyOnce(ctx, request.Subscription) {
		return response, err
	}
	return nil, ackError(invalid)
}

func ackError(invalid map[string]string) error {
	failed := status.New(codes.FailedPrecondition, "some acknowledgement ids are not good any more")
	detailed, err := failed.WithDetails(&errdetails.ErrorInfo{
		Reason:   "EXACTLY_ONCE_ACKID_FAILURE",
		Domain:   "pubsub.googleapis.com",
		Metadata: invalid,
	})
	if err != nil {
		return errors.Join(failed.Err(), err)
	}
	return detailed.Err()
}
