# syntax=docker/dockerfile:1.4

ARG BASE_IMAGE=debian:bullseye
FROM ${BASE_IMAGE} AS final

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

LABEL org.opencontainers.image.title="gateway"

#--MODULE:security--#
#--ENDMODULE--#

#--MODULE:core--#
# what stands here gives way
#--ENDMODULE--#

#--MODULE:light--#
#--ENDMODULE--#

#--MODULE:gateway_app--#
#--ENDMODULE--#
