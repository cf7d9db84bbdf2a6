// A local stand-in for Google Cloud Pub/Sub: Google's own fake (pstest) behind a gRPC server of its own.
//
//	pubsub-fake -address 127.0.0.1:8085 [-redeliver 0.3] [-expire 0.1] [-seed 1]
//
// Topics, subscriptions, filters, deadlines and acknowledgements are pstest's. What is added here:
//   - limits.go: requests that the service refuses, pstest takes (too large, too many attributes, mixed ordering keys)
//   - stream.go: streaming pull over pstest's Pull, with the service's flow control; pstest's own gives one message per tick
//   - ordered.go: order by ordering key with many messages in hand; pstest's has one per key
//   - schemas.go: attributes that say the schema of a message, on topics that have one; messages are not checked against it
//   - acks.go: exactly-once subscriptions refuse stale acknowledgement ids, as the service does
//   - faults.go: redelivery and expired acknowledgement ids on demand, refusals by the name of a topic
//   - a seek to the past is UNIMPLEMENTED: pstest would end the whole process
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

func main() {
	address := flag.String("address", "127.0.0.1:8085", "where to listen")
	redeliver := flag.Float64("redeliver", 0, "share of messages that are delivered again")
	expire := flag.Float64("expire", 0, "share of acknowledgements that come too late")
	seed := flag.Int64("seed", 1, "of the faults")
	flag.Parse()

	fake := pstest.NewServer() // its own listener, on a free port of the loopback address, stays unused
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	faults := newFaults(*redeliver, *expire, *seed)
	server := grpc.NewServer(
		// More than the service takes: what is too large must be refused by its rule, not by the transport.
		grpc.MaxRecvMsgSize(32<<20),
		grpc.MaxSendMsgSize(32<<20),
		grpc.UnaryInterceptor(refuseUnary),
		// As the service's front ends: more calls than that wait, and a streaming pull is a call that does not end.
		grpc.MaxConcurrentStreams(100),
		// A client that stands still is noticed, and its messages go to others in the end.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 4 * time.Second, Timeout: 2 * time.Second}),
	)
	news := newNews()
	pb.RegisterPublisherServer(server, &publisher{&fake.GServer, news})
	pb.RegisterSubscriberServer(server, &subscriber{
		GServer: &fake.GServer, news: news, faults: faults, leases: newLeases(), orderings: newOrderings(),
	})
	pb.RegisterSchemaServiceServer(server, &fake.GServer)
	log.Println("listening on", listener.Addr())
	log.Fatal(server.Serve(listener))
}

type publisher struct {
	*pstest.GServer
	news *news
}

func (p *publisher) Publish(ctx context.Context, request *pb.PublishRequest) (*pb.PublishResponse, error) {
	if err := checkPublish(request); err != nil {
		return nil, err
	}
	p.tellSchema(ctx, request)
	response, err := p.GServer.Publish(ctx, request)
	p.news.tell()
	return response, err
}

type subscriber struct {
	*pstest.GServer
	news      *news
	faults    *faults
	leases    *leases
	orderings *orderings
}

func (s *subscriber) Seek(ctx context.Context, request *pb.SeekRequest) (*pb.SeekResponse, error) {
	if at := request.GetTime(); at != nil && at.AsTime().Before(time.Now()) {
		return nil, status.Error(codes.Unimplemented, "pstest loses the bodies of replayed messages")
	}
	return s.GServer.Seek(ctx, request)
}
