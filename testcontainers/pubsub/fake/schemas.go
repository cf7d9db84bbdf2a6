package main

import (
	"context"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// tellSchema adds what the service says of the schema of a message on a topic that has one. pstest keeps schemas and the
// setting, and does nothing with them. The service also refuses messages that fit no revision, and names the first one that
// fits, from the last of the range on: nothing is looked into here, and the last is named.
func (p *publisher) tellSchema(ctx context.Context, request *pb.PublishRequest) {
	topic, err := p.GServer.GetTopic(ctx, &pb.GetTopicRequest{Topic: request.Topic})
	settings := topic.GetSchemaSettings()
	if err != nil || settings.GetSchema() == "" {
		return
	}
	revision := settings.LastRevisionId
	if revision == "" {
		schema, err := p.GServer.GetSchema(ctx, &pb.GetSchemaRequest{Name: settings.Schema})
		if err != nil {
			return
		}
		revision = schema.RevisionId
	}
	for _, message := range request.Messages {
		if message.Attributes == nil {
			message.Attributes = map[string]string{}
		}
		message.Attributes["googclient_schemaname"] = settings.Schema
		message.Attributes["googclient_schemarevisionid"] = revision
		message.Attributes["googclient_schemaencoding"] = settings.Encoding.String()
	}
}
