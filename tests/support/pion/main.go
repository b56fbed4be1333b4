// Pion as a peer under test: obeys the calls described in host.py, a line of JSON each way on
// standard input and output. Pion has no codecs: what it is sent it sends back, packet by packet,
// as a forwarding server would.
package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v3"
)

const bufferBytes = 1 << 20

type request struct {
	ID          int               `json:"id"`
	Peer        *int              `json:"peer"`
	Channel     *int              `json:"channel"`
	Transceiver *int              `json:"transceiver"`
	Method      string            `json:"method"`
	Args        []json.RawMessage `json:"args"`
}

// mailbox is a queue without an end: what arrives waits until somebody asks.
type mailbox struct {
	mutex sync.Mutex
	some  *sync.Cond
	items []interface{}
}

func newMailbox() *mailbox {
	box := &mailbox{}
	box.some = sync.NewCond(&box.mutex)
	return box
}

func (box *mailbox) put(item interface{}) {
	box.mutex.Lock()
	defer box.mutex.Unlock()
	box.items = append(box.items, item)
	box.some.Signal()
}

func (box *mailbox) take() interface{} {
	box.mutex.Lock()
	defer box.mutex.Unlock()
	for len(box.items) == 0 {
		box.some.Wait()
	}
	item := box.items[0]
	box.items = box.items[1:]
	return item
}

// gate opens once.
type gate struct {
	once sync.Once
	open chan struct{}
}

func newGate() *gate  { return &gate{open: make(chan struct{})} }
func (g *gate) pass() { g.once.Do(func() { close(g.open) }) }
func (g *gate) wait() { <-g.open }

type channel struct {
	channel  *webrtc.DataChannel
	messages *mailbox
	opened   *gate
	closed   *gate
	low      chan struct{}
	mutex    sync.Mutex
	echoes   bool
}

func newChannel(dc *webrtc.DataChannel) *channel {
	c := &channel{channel: dc, messages: newMailbox(), opened: newGate(), closed: newGate(), low: make(chan struct{}, 1)}
	dc.OnOpen(c.opened.pass)
	dc.OnClose(c.closed.pass)
	dc.OnBufferedAmountLow(func() {
		select {
		case c.low <- struct{}{}:
		default:
		}
	})
	dc.OnMessage(func(message webrtc.DataChannelMessage) {
		c.mutex.Lock()
		echoes := c.echoes
		c.mutex.Unlock()
		if echoes {
			_ = c.send(message)
		} else {
			c.messages.put(message)
		}
	})
	return c
}

func (c *channel) send(message webrtc.DataChannelMessage) error {
	if message.IsString {
		return c.channel.SendText(string(message.Data))
	}
	return c.channel.Send(message.Data)
}

type binaryMessage struct {
	Base64 string `json:"base64"`
}

func encode(message webrtc.DataChannelMessage) interface{} {
	if message.IsString {
		return string(message.Data)
	}
	return binaryMessage{base64.StdEncoding.EncodeToString(message.Data)}
}

func decode(raw json.RawMessage) (webrtc.DataChannelMessage, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return webrtc.DataChannelMessage{IsString: true, Data: []byte(text)}, nil
	}
	var message binaryMessage
	if err := json.Unmarshal(raw, &message); err != nil {
		return webrtc.DataChannelMessage{}, err
	}
	data, err := base64.StdEncoding.DecodeString(message.Base64)
	return webrtc.DataChannelMessage{Data: data}, err
}

func (c *channel) info() interface{} {
	dc := c.channel
	return map[string]interface{}{
		"label": dc.Label(), "protocol": dc.Protocol(), "ordered": dc.Ordered(), "id": dc.ID(),
		"maxRetransmits": dc.MaxRetransmits(), "maxPacketLifeTime": dc.MaxPacketLifeTime(),
		"negotiated": dc.Negotiated(), "readyState": dc.ReadyState().String(),
	}
}

func (c *channel) sendHashed(total, size int) (string, error) {
	block := make([]byte, size)
	_, _ = rand.Read(block)
	sha := sha256.New()
	c.channel.SetBufferedAmountLowThreshold(bufferBytes / 2)
	for sent, number := 0, 0; sent < total; sent, number = sent+size, number+1 {
		length := size
		if total-sent < size {
			length = total - sent
		}
		message := append([]byte(nil), block[:length]...)
		binary.BigEndian.PutUint32(message, uint32(number))
		for c.channel.BufferedAmount()+uint64(length) > bufferBytes {
			select {
			case <-c.low:
			case <-time.After(50 * time.Millisecond):
			}
		}
		if err := c.channel.Send(message); err != nil {
			return "", err
		}
		sha.Write(message)
	}
	return hex.EncodeToString(sha.Sum(nil)), nil
}

func (c *channel) receiveHashed(total int) string {
	sha := sha256.New()
	for received := 0; received < total; {
		data := c.messages.take().(webrtc.DataChannelMessage).Data
		sha.Write(data)
		received += len(data)
	}
	return hex.EncodeToString(sha.Sum(nil))
}

func (c *channel) lowAfter(threshold, burst, size int) (uint64, error) {
	c.channel.SetBufferedAmountLowThreshold(uint64(threshold))
	for i := 0; i < burst; i++ {
		if err := c.channel.Send(make([]byte, size)); err != nil {
			return 0, err
		}
	}
	for c.channel.BufferedAmount() > uint64(threshold) {
		select { // there is no event where it was never above
		case <-c.low:
		case <-time.After(50 * time.Millisecond):
		}
	}
	return c.channel.BufferedAmount(), nil
}

type peer struct {
	pc         *webrtc.PeerConnection
	mutex      sync.Mutex
	channels   map[int]*channel
	incoming   *mailbox
	candidates *mailbox
	connected  *gate
}

func newPeer() (*peer, error) {
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	p := &peer{pc: pc, channels: map[int]*channel{}, incoming: newMailbox(), candidates: newMailbox(), connected: newGate()}
	pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate == nil {
			p.candidates.put(nil)
		} else {
			p.candidates.put(candidate.ToJSON())
		}
	})
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			p.connected.pass()
		}
	})
	pc.OnDataChannel(func(dc *webrtc.DataChannel) { p.incoming.put(p.add(dc)) })
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) { p.mirror(track, receiver) })
	return p, nil
}

func (p *peer) add(dc *webrtc.DataChannel) int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	number := len(p.channels) + 1
	p.channels[number] = newChannel(dc)
	return number
}

// mirror sends what comes for a transceiver back on the same one.
func (p *peer) mirror(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	for _, transceiver := range p.pc.GetTransceivers() {
		if transceiver.Receiver() != receiver || transceiver.Sender() == nil {
			continue
		}
		sender := transceiver.Sender()
		out, err := webrtc.NewTrackLocalStaticRTP(track.Codec().RTPCodecCapability, track.ID(), track.StreamID())
		if err != nil || sender.ReplaceTrack(out) != nil {
			return
		}
		go p.passOn(sender, track)
		for {
			packet, _, err := track.ReadRTP()
			if err != nil || out.WriteRTP(packet) != nil {
				return
			}
		}
	}
}

// passOn asks the source for a key frame when the other end asks us.
func (p *peer) passOn(sender *webrtc.RTPSender, track *webrtc.TrackRemote) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
			}
		}
	}
}

type channelOptions struct {
	Ordered           *bool   `json:"ordered"`
	MaxRetransmits    *uint16 `json:"maxRetransmits"`
	MaxPacketLifeTime *uint16 `json:"maxPacketLifeTime"`
	Protocol          *string `json:"protocol"`
	Negotiated        *bool   `json:"negotiated"`
	ID                *uint16 `json:"id"`
}

func (p *peer) createChannel(label string, given channelOptions) (int, error) {
	dc, err := p.pc.CreateDataChannel(label, &webrtc.DataChannelInit{
		Ordered: given.Ordered, MaxRetransmits: given.MaxRetransmits, MaxPacketLifeTime: given.MaxPacketLifeTime,
		Protocol: given.Protocol, Negotiated: given.Negotiated, ID: given.ID,
	})
	if err != nil {
		return 0, err
	}
	return p.add(dc), nil
}

func (p *peer) set(description webrtc.SessionDescription, err error) (interface{}, error) {
	if err != nil {
		return nil, err
	}
	if err := p.pc.SetLocalDescription(description); err != nil {
		return nil, err
	}
	return p.pc.LocalDescription(), nil
}

// addMirrored lets a section that is offered be answered by sending, with a track to come.
func (p *peer) addMirrored(offer webrtc.SessionDescription) error {
	video := webrtc.MimeTypeVP8
	if !strings.Contains(offer.SDP, " VP8/90000") {
		video = webrtc.MimeTypeH264
	}
	for _, kind := range []string{"audio", "video"} {
		mime := map[string]string{"audio": webrtc.MimeTypeOpus, "video": video}[kind]
		for i := strings.Count(offer.SDP, "m="+kind+" "); i > 0; i-- {
			if len(p.pc.GetTransceivers()) >= strings.Count(offer.SDP, "m=audio ")+strings.Count(offer.SDP, "m=video ") {
				return nil
			}
			track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, kind, "mirror")
			if err != nil {
				return err
			}
			if _, err := p.pc.AddTrack(track); err != nil {
				return err
			}
		}
	}
	return nil
}

// addTransceiver lets an offer ask for media, which is sent back.
func (p *peer) addTransceiver(kind string) (int, error) {
	_, err := p.pc.AddTransceiverFromKind(webrtc.NewRTPCodecType(kind))
	return len(p.pc.GetTransceivers()) - 1, err
}

// prefer has a transceiver offer one codec of video alone.
func prefer(transceiver *webrtc.RTPTransceiver, name string) error {
	for _, codec := range transceiver.Receiver().GetParameters().Codecs {
		if !strings.EqualFold(codec.MimeType, "video/"+name) {
			continue
		}
		if err := transceiver.SetCodecPreferences([]webrtc.RTPCodecParameters{codec}); err != nil {
			return err
		}
		out, err := webrtc.NewTrackLocalStaticRTP(codec.RTPCodecCapability, "video", "mirror")
		if err != nil {
			return err
		}
		return transceiver.Sender().ReplaceTrack(out)
	}
	return errors.New("no codec " + name)
}

func (p *peer) addCandidate(raw json.RawMessage) error {
	var candidate *webrtc.ICECandidateInit
	if err := json.Unmarshal(raw, &candidate); err != nil {
		return err
	}
	if candidate == nil || candidate.Candidate == "" {
		return nil // this version cannot be told that there are no more
	}
	return p.pc.AddICECandidate(*candidate)
}

func arguments(raw []json.RawMessage, into ...interface{}) error {
	if len(raw) < len(into) {
		return errors.New("too few arguments")
	}
	for i, target := range into {
		if err := json.Unmarshal(raw[i], target); err != nil {
			return err
		}
	}
	return nil
}

func (c *channel) answer(call request) (interface{}, error) {
	var a, b, d int
	switch call.Method {
	case "info":
		return c.info(), nil
	case "opened":
		c.opened.wait()
		return nil, nil
	case "send":
		message, err := decode(call.Args[0])
		if err != nil {
			return nil, err
		}
		return nil, c.send(message)
	case "receive":
		return encode(c.messages.take().(webrtc.DataChannelMessage)), nil
	case "echo":
		c.mutex.Lock()
		c.echoes = true
		c.mutex.Unlock()
		return nil, nil
	case "sendHashed":
		if err := arguments(call.Args, &a, &b); err != nil {
			return nil, err
		}
		return c.sendHashed(a, b)
	case "receiveHashed":
		if err := arguments(call.Args, &a); err != nil {
			return nil, err
		}
		return c.receiveHashed(a), nil
	case "low":
		if err := arguments(call.Args, &a, &b, &d); err != nil {
			return nil, err
		}
		return c.lowAfter(a, b, d)
	case "closeChannel":
		return nil, c.channel.Close()
	case "closed":
		c.closed.wait()
		return nil, nil
	}
	return nil, fmt.Errorf("no method %s of a channel", call.Method)
}

func (p *peer) answer(call request) (interface{}, error) {
	var description webrtc.SessionDescription
	switch call.Method {
	case "createChannel":
		var label string
		var options channelOptions
		if err := arguments(call.Args, &label, &options); err != nil {
			return nil, err
		}
		return p.createChannel(label, options)
	case "nextChannel":
		return p.incoming.take(), nil
	case "addTransceiver":
		var kind string
		if err := arguments(call.Args, &kind); err != nil {
			return nil, err
		}
		return p.addTransceiver(kind)
	case "prefer":
		var name string
		if err := arguments(call.Args, &name); err != nil {
			return nil, err
		}
		return nil, prefer(p.pc.GetTransceivers()[*call.Transceiver], name)
	case "createOffer":
		var restart bool
		if err := arguments(call.Args, &restart); err != nil {
			return nil, err
		}
		return p.set(p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: restart}))
	case "acceptOffer":
		if err := arguments(call.Args, &description); err != nil {
			return nil, err
		}
		if err := p.addMirrored(description); err != nil {
			return nil, err
		}
		if err := p.pc.SetRemoteDescription(description); err != nil {
			return nil, err
		}
		return p.set(p.pc.CreateAnswer(nil))
	case "acceptAnswer":
		if err := arguments(call.Args, &description); err != nil {
			return nil, err
		}
		return nil, p.pc.SetRemoteDescription(description)
	case "addCandidate":
		return nil, p.addCandidate(call.Args[0])
	case "nextCandidate":
		return p.candidates.take(), nil
	case "connected":
		p.connected.wait()
		return nil, nil
	case "vanish":
		os.Exit(1)
	case "close":
		_ = p.pc.Close() // it complains when the other end was first
		return nil, nil
	}
	return nil, fmt.Errorf("no method %s of a peer", call.Method)
}

var (
	mutex sync.Mutex
	peers = map[int]*peer{}
)

func answer(call request) (interface{}, error) {
	if call.Method == "newPeer" {
		p, err := newPeer()
		if err != nil {
			return nil, err
		}
		mutex.Lock()
		defer mutex.Unlock()
		number := len(peers) + 1
		peers[number] = p
		return number, nil
	}
	if call.Peer == nil {
		return nil, fmt.Errorf("%s is of a peer", call.Method)
	}
	mutex.Lock()
	p := peers[*call.Peer]
	mutex.Unlock()
	if call.Channel == nil {
		return p.answer(call)
	}
	p.mutex.Lock()
	c := p.channels[*call.Channel]
	p.mutex.Unlock()
	return c.answer(call)
}

func main() {
	input := bufio.NewReaderSize(os.Stdin, 16<<20)
	var output sync.Mutex
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			return
		}
		var call request
		if err := json.Unmarshal(line, &call); err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		go func() {
			reply := map[string]interface{}{"id": call.ID}
			if result, err := answer(call); err != nil {
				reply["error"] = err.Error()
			} else {
				reply["result"] = result
			}
			text, _ := json.Marshal(reply)
			output.Lock()
			defer output.Unlock()
			_, _ = os.Stdout.Write(append(text, '\n'))
		}()
	}
}
