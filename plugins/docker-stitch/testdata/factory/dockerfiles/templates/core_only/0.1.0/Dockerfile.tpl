FROM debian:bookworm-slim

#--MODULE:core--#
#--ENDMODULE--#

CMD ["bash"]
