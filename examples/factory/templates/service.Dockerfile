# A Python service on a Debian base. Fragments go between the markers, which are
# comments: this file is a Dockerfile as it stands.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}

LABEL org.opencontainers.image.title="depot" \
      org.opencontainers.image.description="Spare parts of a workshop, as a service"

SHELL ["/bin/sh", "-euc"]

#--MODULE:security--#
#--ENDMODULE--#

#--MODULE:core--#
#--ENDMODULE--#

#--MODULE:light--#
#--ENDMODULE--#

#--MODULE:depot--#
#--ENDMODULE--#
