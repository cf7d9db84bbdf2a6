package main

import (
	"strings"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Limits of the service, from https://cloud.google.com/pubsub/quotas#resource_limits.
const (
	maxRequest    = 10_000_000
	maxMessages   = 1000
	maxAttributes = 100
	maxKey        = 256
	maxValue      = 1024
)

func checkPublish(request *pb.PublishRequest) error {
	if size := proto.Size(request); size > maxRequest {
		return refused("the request has %d bytes, the limit is %d", size, maxRequest)
	}
	if count := len(request.Messages); count == 0 || count > maxMessages {
		return refused("the request has %d messages, the limit is %d", count, maxMessages)
	}
	for _, message := range request.Messages {
		if len(message.Data) == 0 && len(message.Attributes) == 0 {
			return refused("a message has neither data nor attributes")
		}
		if message.OrderingKey != request.Messages[0].OrderingKey {
			return refused("the messages of one request have different ordering keys")
		}
		if count := len(message.Attributes); count > maxAttributes {
			return refused("a message has %d attributes, the limit is %d", count, maxAttributes)
		}
		for key, value := range message.Attributes {
			if key == "" || len(key) > maxKey || len(value) > maxValue || strings.HasPrefix(key, "goog") {
				return refused("attribute %q with a value of %d bytes", key, len(value))
			}
		}
	}
	return nil
}

func refused(format string, parts ...any) error {
	return status.Errorf(codes.InvalidArgument, format, parts...)
}
