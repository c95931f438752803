#!/usr/bin/env bash
# Builds every image with buildah, without a container engine or a registry, and runs the whole of docker-compose.yml out of them. It needs root
# on Debian, Go and apt; about ten minutes, most of them for MinIO. It ends by itself and leaves nothing behind but .tools/image-cache, the builds'
# Go caches, which make the next run shorter.
#
# The base images are stood in for by local ones, made by debootstrap and from this machine's Go, so that every instruction of the Dockerfiles
# runs. What this cannot show is that the official base images are there to be pulled.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "verify.sh needs root: it mounts, and changes roots and users"; exit 1; }

need=()
for program in buildah debootstrap; do command -v $program >/dev/null || need+=($program); done
command -v ip >/dev/null || need+=(iproute2)
command -v curl >/dev/null || need+=(curl)
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need+=(postgresql)
if [ ${#need[@]} -gt 0 ]; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${need[@]}"
fi

# /var/tmp is disk: the file system of /tmp may be memory, and the images with their layers take about 5 GB.
work=$(mktemp -d -p /var/tmp chasqui-images.XXXXXX)
chmod 755 "$work" # the images' users must reach their roots
export TMPDIR=$work/tmp STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
mkdir -p "$TMPDIR" .tools/image-cache
ln -s "$PWD/.tools/image-cache" "$TMPDIR/buildah-cache" # where buildah keeps what is mounted with type=cache
b() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
cleanup() {
  b rm --all >/dev/null 2>&1 || true
  # Unmounted deepest first, so that the removal cannot reach into this machine through a bind mount.
  awk -v work="$work" 'index($2, work) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n1 umount -l
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

# The stand-ins. The machine's own certificates and mirror go in, for a network that needs them.
suite=bookworm
mirror=$(apt-get indextargets --format '$(SITE)|$(CODENAME)|$(COMPONENT)' 2>/dev/null | awk -F'|' -v suite=$suite '$2 == suite && $3 == "main" {print $1; exit}')
say "base image: Debian $suite"
debian=$(b from scratch)
root=$(b mount "$debian")
debootstrap --variant=minbase $suite "$root" $mirror >"$work/debootstrap.log" 2>&1 || { tail -20 "$work/debootstrap.log"; exit 1; }
rm -rf "${root:?}"/var/cache/apt/archives/*.deb "${root:?}"/var/lib/apt/lists/*
mkdir -p "$root/etc/ssl/certs" "$root/usr/local/share/ca-certificates"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp -a /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
b unmount "$debian" >/dev/null
b commit -q "$debian" localhost/verify-debian:1 >/dev/null

say "base image: $(go env GOVERSION)"
golang=$(b from --pull-never localhost/verify-debian:1)
root=$(b mount "$golang")
cp -a "$(go env GOROOT)" "$root/usr/local/go"
b unmount "$golang" >/dev/null
b config --env PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env GOPATH=/go --env GOTOOLCHAIN=local \
  --env GOPROXY="$(go env GOPROXY)" --env GOSUMDB="$(go env GOSUMDB)" "$golang"
b commit -q "$golang" localhost/verify-go:1 >/dev/null
b rm --all >/dev/null

build() { # name, Dockerfile, target
  say "build $1"
  # --format docker keeps the health check, for which OCI's format has no place.
  b bud --isolation chroot --format docker --pull-never -q --target "$3" -t "localhost/verify-$1:1" -f "infra/docker/$2" \
    --build-arg GO_IMAGE=localhost/verify-go:1 --build-arg DEBIAN_IMAGE=localhost/verify-debian:1 --build-arg VERSION=v0-verify . \
    >"$work/$1.log" 2>&1 || { tail -30 "$work/$1.log"; exit 1; }
}
build chasqui Dockerfile chasqui
build ffmpeg Dockerfile ffmpeg
build minio minio.Dockerfile minio
b images --format '{{.Name}} {{.Size}}' | grep -v -e verify-debian -e verify-go -e '<none>'

say "run the stack out of the images"
mkdir "$work/images"
for name in chasqui ffmpeg minio; do
  container=$(b from --pull-never "localhost/verify-$name:1")
  b inspect --type image "localhost/verify-$name:1" >"$work/images/$name.json"
  b mount "$container" >"$work/images/$name.root"
done
go test -c -tags images -o "$work/stack.test" ./infra/docker
# Namespaces of its own: ports that cannot clash, mounts and processes that end with it.
(cd infra/docker && CHASQUI_IMAGES=$work/images timeout -k 10 300 unshare --mount --net --pid --fork --kill-child --mount-proc \
  sh -c 'ip link set lo up && exec "$0" "$@"' "$work/stack.test" -test.v -test.run 'ScratchImage|FFmpegImage|FromTheImages')
say "every image was built, and the stack works"
