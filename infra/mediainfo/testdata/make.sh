#!/bin/sh
# Makes the files of this folder anew, with ffmpeg 5.1 (Debian 12: libopus 1.3.1, libwebp 1.2.4, libmp3lame 3.100, libx264).
set -eu
cd "$(dirname "$0")"
f="ffmpeg -hide_banner -loglevel error -y -bitexact"

# Three seconds: a loud tone with some noise, silence, half as loud.
sound="aevalsrc='(0.6*sin(2*PI*300*t)+0.02*(random(0)-0.5))*(lt(t,1)+gte(t,2)*0.5)':s=48000:d=3"
opus() { # name, channels, rate, kbit/s, application, ms
  $f -f lavfi -i "$sound" -ac "$2" -ar "$3" -c:a libopus -b:a "$4k" -application "$5" -frame_duration "$6" -f ogg "$1.ogg"
}
opus silk-mono 1 16000 16 voip 20      # SILK, wideband
opus silk-60ms 1 8000 12 voip 60       # SILK, narrowband, frames of 60 ms
opus hybrid-mono 1 48000 16 voip 20    # hybrid
opus hybrid-stereo 2 48000 24 voip 20
opus celt-mono 1 48000 64 audio 20     # CELT
opus celt-2ms 1 48000 32 lowdelay 2.5
opus celt-stereo 2 48000 64 audio 60   # packets of 255 bytes and more, across pages
$f -f lavfi -i "aevalsrc='0.5*sin(2*PI*300*t)|0.4*sin(2*PI*400*t)|0|0|0|0':c=5.1:s=48000:d=1" -c:a libopus -b:a 96k -f ogg surround.ogg
$f -f lavfi -i "aevalsrc='0.5*sin(2*PI*300*t)':s=44100:d=1" -c:a libvorbis -f ogg vorbis.ogg

picture="testsrc=size=320x180:rate=5:duration=1"
$f -f lavfi -i "$picture" -frames:v 1 -c:v libwebp -q:v 50 lossy.webp
$f -f lavfi -i "$picture" -frames:v 1 -c:v libwebp -lossless 1 lossless.webp
$f -f lavfi -i "$picture,format=yuva420p,colorchannelmixer=aa=0.5" -frames:v 1 -c:v libwebp -q:v 50 alpha.webp
$f -f lavfi -i "$picture" -frames:v 3 -c:v libwebp_anim -q:v 20 animated.webp

$f -f lavfi -i "$sound" -ac 1 -ar 22050 -c:a libmp3lame -q:a 9 variable.mp3
$f -f lavfi -i "$sound" -ac 1 -ar 44100 -c:a libmp3lame -b:a 32k -write_xing 0 constant.mp3
# The movie header at the end, the picture turned and not of square pixels.
$f -f lavfi -i "$picture,scale=160:180,setsar=2" -c:v libx264 -pix_fmt yuv420p -crf 35 plain.mp4
$f -i plain.mp4 -c copy -metadata:s:v rotate=90 turned.mp4
rm plain.mp4
